//! A long text in parts. A part is made when the one before has been taken.

/// Octets of a part.
const PART: usize = 64 << 10;

/// The parts of a text; one empty part of an empty text.
#[derive(Debug)]
pub(super) struct Parts {
    text: String,
    at: Option<usize>,
}

impl Parts {
    pub(super) fn new(mut text: String) -> Self {
        // The vty's framing has no room for it, and some client would end there.
        if text.contains('\0') {
            text.retain(|c| c != '\0');
        }
        Self { text, at: Some(0) }
    }

    /// Whether no more follow.
    pub(super) fn is_over(&self) -> bool {
        self.at.is_none()
    }
}

impl Iterator for Parts {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let from = self.at?;
        let mut to = self.text.len().min(from + PART);
        while !self.text.is_char_boundary(to) {
            to -= 1;
        }
        self.at = Some(to).filter(|to| *to < self.text.len());
        self.text.get(from..to).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_text_again() {
        for text in ["", "a", &"é".repeat(PART), &"x".repeat(PART), &"ab€".repeat(PART)] {
            let parts: Vec<String> = Parts::new(text.to_owned()).collect();
            assert_eq!(parts.concat(), text);
            assert!(!parts.is_empty() && parts.iter().all(|part| part.len() <= PART));
            assert!(parts.len() == 1 || parts.iter().all(|part| !part.is_empty()));
        }
        assert_eq!(Parts::new("a\0b".to_owned()).next().as_deref(), Some("ab"));
    }
}
