use super::{HeaderValue, HttpHeaders, InvalidHeader};

/// What a builder is given: what must not be sent is told when the message is made, the first of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct GivenHeaders {
    pub(crate) headers: HttpHeaders,
    invalid: Option<InvalidHeader>,
}

impl GivenHeaders {
    pub(crate) fn set(&mut self, name: &str, value: impl HeaderValue) {
        if let Err(error) = self.headers.set(name, value) {
            self.invalid.get_or_insert(error);
        }
    }

    pub(crate) fn add(&mut self, name: &str, value: impl HeaderValue) {
        if let Err(error) = self.headers.add(name, value) {
            self.invalid.get_or_insert(error);
        }
    }

    pub(crate) fn invalid(&self) -> Option<&InvalidHeader> {
        self.invalid.as_ref()
    }

    #[cfg(feature = "templates")]
    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.invalid.is_none()
    }
}
