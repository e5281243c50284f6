//! `frr.Northbound`: messages to calls, and answers to messages. Decides nothing.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use nhrp_yang::{Format, WithDefaults};

use crate::credentials::caller;
use crate::device::Gone;
use crate::fault::{Code, Fault};
use crate::gets::{Answer, Answers, Gets, Got, Wanted};
use crate::job::{Job, Stores};
use crate::proto::northbound_server::Northbound;
use crate::proto::{self, DataTree, Encoding, PathValue};
use crate::{Phase, What};

/// Turns calls into jobs.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    jobs: mpsc::Sender<Job>,
    version: String,
    gets: Gets,
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let code = match fault.code {
            Code::InvalidArgument => tonic::Code::InvalidArgument,
            Code::NotFound => tonic::Code::NotFound,
            Code::ResourceExhausted => tonic::Code::ResourceExhausted,
            Code::FailedPrecondition => tonic::Code::FailedPrecondition,
            Code::Aborted => tonic::Code::Aborted,
            Code::Internal => tonic::Code::Internal,
            Code::Unavailable => tonic::Code::Unavailable,
        };
        Self::new(code, fault.text)
    }
}

impl Service {
    pub(crate) fn new(jobs: mpsc::Sender<Job>, version: String) -> Self {
        Self { jobs, version, gets: Gets::default() }
    }

    /// Has something done, after what others want done.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Stores) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Status> {
        let (answer, reply) = oneshot::channel();
        // Who has hung up needs no answer.
        let job = Job::new(move |stores| drop(answer.send(work(stores))));
        self.jobs.send(job).await.map_err(|_| Gone)?;
        Ok(reply.await.map_err(|_| Gone)??)
    }

    /// Data, with those who want the same.
    async fn got(&self, wanted: Wanted) -> Result<Got, Gone> {
        let (reply, to_prepare) = self.gets.join(&wanted);
        if to_prepare {
            let (gets, preparing) = (self.gets.clone(), wanted.clone());
            let job = Job::new(move |stores| gets.prepare(&preparing, stores));
            if self.jobs.send(job).await.is_err() {
                self.gets.give_up(&wanted);
            }
        }
        reply.await.map_err(|_| Gone)
    }
}

/// An encoding that this program does not know is one of a later version of the protocol: JSON, as in FRR.
fn format(encoding: i32) -> Format {
    match Encoding::try_from(encoding) {
        Ok(Encoding::Xml) => Format::Xml,
        Ok(Encoding::Json) | Err(_) => Format::Json,
    }
}

fn with_defaults(wanted: bool) -> WithDefaults {
    if wanted { WithDefaults::All } else { WithDefaults::Trim }
}

fn pairs(values: Vec<PathValue>) -> Vec<(String, String)> {
    values.into_iter().map(|pair| (pair.path, pair.value)).collect()
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Northbound for Service {
    type GetStream = Answers<proto::GetResponse>;
    type ListTransactionsStream = ReceiverStream<Result<proto::ListTransactionsResponse, Status>>;

    async fn get_capabilities(
        &self,
        _: Request<proto::GetCapabilitiesRequest>,
    ) -> Reply<proto::GetCapabilitiesResponse> {
        let modules = self.ask(|stores| Ok(stores.modules())).await?;
        let supported_modules = modules.into_iter().map(|module| proto::ModuleData {
            name: module.name,
            organization: module.organization,
            revision: module.revision,
        });
        Ok(Response::new(proto::GetCapabilitiesResponse {
            frr_version: self.version.clone(),
            rollback_support: true,
            supported_modules: supported_modules.collect(),
            supported_encodings: vec![Encoding::Json.into(), Encoding::Xml.into()],
        }))
    }

    /// One job for each path, and none before the client has taken the answer to the one before: a slow reader keeps
    /// nobody waiting.
    async fn get(&self, request: Request<proto::GetRequest>) -> Reply<Self::GetStream> {
        let request = request.into_inner();
        let what = match proto::get_request::DataType::try_from(request.r#type) {
            Ok(proto::get_request::DataType::Config) => What::Config,
            Ok(proto::get_request::DataType::State) => What::State,
            Ok(proto::get_request::DataType::All) => What::All,
            Err(_) => return Err(Status::invalid_argument(format!("unknown data type {}", request.r#type))),
        };
        let (defaults, encoding) = (with_defaults(request.with_defaults), request.encoding);
        let (answers, stream) = mpsc::channel(1);
        let service = self.clone();
        tokio::spawn(async move {
            for path in request.path.into_iter().rev() {
                let Ok(slot) = answers.reserve().await else { return };
                let wanted = Wanted { path, what, format: format(encoding), defaults };
                let (timestamp, data) = match service.got(wanted).await {
                    Ok(got) => (got.timestamp, got.data.map_err(Status::from)),
                    Err(gone) => (0, Err(gone.into())),
                };
                // As in FRR, a message comes before the error.
                let (text, fault) = data.map_or_else(|e| (Arc::from(""), Some(e)), |text| (text, None));
                let place = service.gets.place(text.len()).await;
                let message = move || {
                    let data = Some(DataTree { encoding, data: text.as_ref().to_owned() });
                    Ok(proto::GetResponse { timestamp, data })
                };
                slot.send(Answer { message: Box::new(message), place });
                if let Some(fault) = fault {
                    // The client may be gone.
                    let message = Box::new(move || Err(fault));
                    let _ = answers.send(Answer { message, place: None }).await;
                    return;
                }
            }
        });
        Ok(Response::new(Answers::new(stream)))
    }

    async fn create_candidate(
        &self,
        _: Request<proto::CreateCandidateRequest>,
    ) -> Reply<proto::CreateCandidateResponse> {
        let candidate_id = self.ask(Stores::create_candidate).await?;
        Ok(Response::new(proto::CreateCandidateResponse { candidate_id }))
    }

    async fn delete_candidate(
        &self,
        request: Request<proto::DeleteCandidateRequest>,
    ) -> Reply<proto::DeleteCandidateResponse> {
        let id = request.into_inner().candidate_id;
        self.ask(move |stores| stores.delete_candidate(id)).await?;
        Ok(Response::new(proto::DeleteCandidateResponse {}))
    }

    async fn update_candidate(
        &self,
        request: Request<proto::UpdateCandidateRequest>,
    ) -> Reply<proto::UpdateCandidateResponse> {
        let id = request.into_inner().candidate_id;
        self.ask(move |stores| stores.update_candidate(id)).await?;
        Ok(Response::new(proto::UpdateCandidateResponse {}))
    }

    async fn edit_candidate(
        &self,
        request: Request<proto::EditCandidateRequest>,
    ) -> Reply<proto::EditCandidateResponse> {
        let request = request.into_inner();
        let update = pairs(request.update);
        let delete: Vec<String> = request.delete.into_iter().map(|pair| pair.path).collect();
        self.ask(move |stores| stores.edit_candidate(request.candidate_id, &update, &delete)).await?;
        Ok(Response::new(proto::EditCandidateResponse {}))
    }

    async fn load_to_candidate(
        &self,
        request: Request<proto::LoadToCandidateRequest>,
    ) -> Reply<proto::LoadToCandidateResponse> {
        let request = request.into_inner();
        let replace = request.r#type == i32::from(proto::load_to_candidate_request::LoadType::Replace);
        let document = request.config.unwrap_or_default();
        self.ask(move |stores| {
            let format = format(document.encoding);
            stores.load_to_candidate(request.candidate_id, &document.data, format, replace)
        })
        .await?;
        Ok(Response::new(proto::LoadToCandidateResponse {}))
    }

    async fn commit(&self, request: Request<proto::CommitRequest>) -> Reply<proto::CommitResponse> {
        use proto::commit_request::Phase as Wire;
        let client = caller(&request);
        let request = request.into_inner();
        let phase = match Wire::try_from(request.phase) {
            Ok(Wire::Validate) => Phase::Validate,
            Ok(Wire::Prepare) => Phase::Prepare,
            Ok(Wire::Abort) => Phase::Abort,
            Ok(Wire::Apply) => Phase::Apply,
            Ok(Wire::All) => Phase::All,
            Err(_) => return Err(Status::invalid_argument(format!("unknown phase {}", request.phase))),
        };
        // Told by who carries it out: the client may hang up meanwhile.
        let work = move |stores: &mut Stores| {
            let done = stores.commit_by(&client, request.candidate_id, phase, &request.comment)?;
            if let Some(id) = done {
                tracing::info!(target: "nhrp::common", "transaction {id} has been committed by {client}");
            }
            Ok(done)
        };
        let transaction = self.ask(work).await?;
        Ok(Response::new(proto::CommitResponse {
            transaction_id: transaction.unwrap_or_default(),
            error_message: String::new(),
        }))
    }

    async fn list_transactions(
        &self,
        _: Request<proto::ListTransactionsRequest>,
    ) -> Reply<Self::ListTransactionsStream> {
        let transactions = self.ask(|stores| Ok(stores.transactions())).await?;
        let (answers, stream) = mpsc::channel(transactions.len().max(1));
        for transaction in transactions {
            let date = transaction.date();
            let answer = proto::ListTransactionsResponse {
                id: transaction.id,
                client: transaction.client,
                date,
                comment: transaction.comment,
            };
            // There is room for all.
            let _ = answers.try_send(Ok(answer));
        }
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn get_transaction(
        &self,
        request: Request<proto::GetTransactionRequest>,
    ) -> Reply<proto::GetTransactionResponse> {
        let request = request.into_inner();
        let (id, encoding) = (request.transaction_id, request.encoding);
        let defaults = with_defaults(request.with_defaults);
        let data = self.ask(move |stores| stores.transaction(id, format(encoding), defaults)).await?;
        Ok(Response::new(proto::GetTransactionResponse { config: Some(DataTree { encoding, data }) }))
    }

    async fn lock_config(&self, _: Request<proto::LockConfigRequest>) -> Reply<proto::LockConfigResponse> {
        self.ask(Stores::lock).await?;
        Ok(Response::new(proto::LockConfigResponse {}))
    }

    async fn unlock_config(
        &self,
        _: Request<proto::UnlockConfigRequest>,
    ) -> Reply<proto::UnlockConfigResponse> {
        self.ask(Stores::unlock).await?;
        Ok(Response::new(proto::UnlockConfigResponse {}))
    }

    async fn execute(&self, request: Request<proto::ExecuteRequest>) -> Reply<proto::ExecuteResponse> {
        let request = request.into_inner();
        let input = pairs(request.input);
        let output = self.ask(move |stores| stores.execute(&request.path, &input)).await?;
        let output = output.into_iter().map(|(path, value)| PathValue { path, value }).collect();
        Ok(Response::new(proto::ExecuteResponse { output }))
    }
}
