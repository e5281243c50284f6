//! Hub and spokes agree on who is registered, with these addresses and this holding time.

use super::{HOLDTIME, Lab, REGISTER};
use crate::dmvpn::Shape;
use crate::dmvpn::{nbma, overlay, text};
use crate::failure::{Context, Result, ensure};
use crate::judge::Type;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    let mut dmvpn = lab.dmvpn(Shape { holdtime: HOLDTIME, ..Shape::default() })?;
    dmvpn.wait_registered(REGISTER)?;
    for spoke in dmvpn.spokes() {
        let row = dmvpn.registration(&spoke)?.context(|| format!("{spoke} is not registered any more"))?;
        let address = nbma(&spoke)?.to_string();
        ensure!(
            text(&row, "nbma") == address
                && text(&row, "claimed_nbma") == address
                && text(&row, "interface") == "gre1",
            "the hub has {row} for {spoke}"
        );
        let cache = dmvpn.frr(&spoke)?.table("show ip nhrp cache json")?;
        let hub = overlay("hub")?.to_string();
        let entry = cache.iter().find(|row| text(row, "protocol") == hub);
        let entry = entry.context(|| format!("{spoke} has no cache entry for the hub: {cache:?}"))?;
        ensure!(
            text(entry, "type") == "nhs" && text(entry, "nbma") == nbma("hub")?.to_string(),
            "{spoke} has {entry} for the hub"
        );
    }
    let wire = dmvpn.finish(&[(Type::RegistrationRequest, 2), (Type::RegistrationReply, 2)])?;
    for spoke in dmvpn.spokes() {
        let (there, back) = ((nbma(&spoke)?, nbma("hub")?), (nbma("hub")?, nbma(&spoke)?));
        let mut requests = wire.of(Type::RegistrationRequest).filter(|(packet, _)| packet.nbma == there);
        let request = requests.next().context(|| format!("no registration request of {spoke}"))?.1;
        ensure!(
            request.source == Some(overlay(&spoke)?) && request.source_nbma == Some(nbma(&spoke)?),
            "{spoke}'s registration request is from {:?}, {:?}",
            request.source,
            request.source_nbma
        );
        ensure!(
            request.entries.first().is_some_and(|(_, time)| *time == HOLDTIME),
            "{spoke} asks for these codes and holding times: {:?}",
            request.entries
        );
        let mut replies = wire.of(Type::RegistrationReply).filter(|(packet, _)| packet.nbma == back);
        let reply = replies.find(|(_, reply)| reply.request_id == request.request_id);
        let reply = reply.context(|| format!("no reply to {spoke}'s request {}", request.request_id))?.1;
        ensure!(
            reply.entries.first().is_some_and(|(code, _)| *code == 0),
            "the hub answered {spoke} with these codes and holding times: {:?}",
            reply.entries
        );
        let registered = dmvpn.time_to_register(&spoke, &wire)?;
        lab.note(format!("{spoke} registered after {:.2} s", registered.as_secs_f64()));
    }
    lab.keep(dmvpn);
    Ok(())
}
