//! Which methods a resource answers.

use std::fmt;

use http::Method;

use crate::httputil::is_token;

/// The methods that a resource answers, in the order in which they were named.
///
/// What comes by itself is not in it: [`answers`](Self::answers) says that `HEAD` is answered where `GET` is, and every
/// resource says with `OPTIONS` what it can be asked.
///
/// ```
/// use squall::web::Methods;
/// use http::Method;
///
/// const METHODS: Methods = Methods::of(&["GET", "PROPFIND"]);
/// assert!(METHODS.contains(&Method::GET) && !METHODS.contains(&Method::HEAD) && METHODS.answers(&Method::HEAD));
/// assert_eq!(METHODS.to_string(), "GET, PROPFIND");
/// ```
#[doc(alias = "SUPPORTED_METHODS")]
#[derive(Clone, Copy)]
pub struct Methods {
    /// One for each [`Verb`]; that of [`Verb::Other`] stands for all others.
    bits: u8,
    /// The verbs in `bits`, but for [`Verb::Other`].
    order: [Verb; Verb::STANDARD.len()],
    /// All names as given, if there are some that are no [`Verb`] of their own.
    named: &'static [&'static str],
}

impl Methods {
    /// None.
    pub const NONE: Self = Self { bits: 0, order: [Verb::Other; Verb::STANDARD.len()], named: &[] };

    /// Every method, those that nobody has thought of included: [`other`](crate::web::RequestHandler::other) answers them.
    pub const ANY: Self = {
        let mut all = Self { bits: Verb::Other.bit(), ..Self::NONE };
        let mut i = 0;
        while i < Verb::STANDARD.len() {
            all = all.with(Verb::STANDARD[i]);
            i += 1;
        }
        all
    };

    /// These methods, in upper case: methods are case-sensitive (RFC 9110 §9.1).
    ///
    /// # Panics
    /// When a name is none of a method, or has lower-case letters, which is a mistake of typing. In a constant, where this
    /// is meant to stand, that is an error of the compiler.
    #[must_use]
    #[track_caller]
    pub const fn of(names: &'static [&'static str]) -> Self {
        let mut methods = Self::NONE;
        let mut i = 0;
        while i < names.len() {
            match Verb::named(names[i]) {
                Verb::Other => {
                    assert_is_method(names[i]);
                    methods.named = names;
                }
                verb => methods = methods.with(verb),
            }
            i += 1;
        }
        methods
    }

    /// Whether the method was named, or all were.
    #[must_use]
    #[inline]
    pub fn contains(&self, method: &Method) -> bool {
        self.has(Verb::of(method), method)
    }

    /// Whether there is something for the method: it was named, or is `HEAD` where `GET` was.
    #[must_use]
    pub fn answers(&self, method: &Method) -> bool {
        self.has(self.standing_for(method), method)
    }

    /// [`answers`](Self::answers) for a method whose name alone is there.
    pub(in crate::web) fn answers_named(&self, name: &str) -> bool {
        match Verb::named(name) {
            Verb::Other => self.is_any() || self.named.contains(&name),
            Verb::Head => self.has_verb(Verb::Head) || self.has_verb(Verb::Get),
            verb => self.has_verb(verb),
        }
    }

    /// Whether it is [`ANY`](Self::ANY), or holds it.
    #[must_use]
    #[inline]
    pub const fn is_any(&self) -> bool {
        self.bits & Verb::Other.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bits == 0 && self.named.is_empty()
    }

    /// Their names; of [`ANY`](Self::ANY) those that Tornado knows.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> + use<> {
        let named = self.named.iter().copied().filter(|name| Verb::named(name) == Verb::Other);
        let len = (self.bits & !Verb::Other.bit()).count_ones() as usize;
        self.order.into_iter().take(len).map(Verb::name).chain(named)
    }

    /// What `Allow` says: these, and those that come by themselves (RFC 9110 §10.2.1).
    pub(in crate::web) fn allow(&self) -> String {
        let mut names: Vec<&str> = self.iter().collect();
        if self.has_verb(Verb::Get) && !self.has_verb(Verb::Head) {
            names.push("HEAD");
        }
        if !self.has_verb(Verb::Options) {
            names.push("OPTIONS");
        }
        names.join(", ")
    }

    /// Under which name the answer to `method` is to be found: that of `HEAD` may be that of `GET`.
    #[inline]
    pub(in crate::web) fn standing_for(&self, method: &Method) -> Verb {
        match Verb::of(method) {
            Verb::Head if !self.has_verb(Verb::Head) && self.has_verb(Verb::Get) => Verb::Get,
            verb => verb,
        }
    }

    /// `verb` is what stands for `method`.
    #[inline]
    pub(in crate::web) fn has(&self, verb: Verb, method: &Method) -> bool {
        self.has_verb(verb) || (verb == Verb::Other && self.named.contains(&method.as_str()))
    }

    #[inline]
    pub(in crate::web) const fn has_verb(&self, verb: Verb) -> bool {
        self.bits & verb.bit() != 0
    }

    #[must_use]
    pub(in crate::web) const fn with(mut self, verb: Verb) -> Self {
        if !self.has_verb(verb) {
            if !matches!(verb, Verb::Other) {
                self.order[(self.bits & !Verb::Other.bit()).count_ones() as usize] = verb;
            }
            self.bits |= verb.bit();
        }
        self
    }

    /// Those of `self` for which `keep` holds; for sets without names of their own, as functions have them.
    #[must_use]
    const fn filtered(self, keep: u8) -> Self {
        let mut kept = Self { bits: self.bits & keep & Verb::Other.bit(), ..Self::NONE };
        let mut i = 0;
        while i < Verb::STANDARD.len() {
            let verb = self.order[i];
            if self.bits & keep & !Verb::Other.bit() & verb.bit() != 0 {
                kept = kept.with(verb);
            }
            i += 1;
        }
        kept
    }

    /// Those that are in both, of methods of functions.
    pub(in crate::web) const fn common(self, other: Self) -> Self {
        self.filtered(other.bits)
    }

    /// Those that are not in `other`, of methods of functions.
    pub(in crate::web) const fn without(self, other: Self) -> Self {
        self.filtered(!other.bits)
    }

    /// Those that are in one of the two, of methods of functions.
    pub(in crate::web) fn and(self, other: Self) -> Self {
        let any = Self { bits: self.bits | (other.bits & Verb::Other.bit()), ..self };
        let verbs = Verb::STANDARD.into_iter().filter(|verb| other.has_verb(*verb));
        verbs.fold(any, Self::with)
    }
}

impl PartialEq for Methods {
    /// Whatever the order.
    fn eq(&self, other: &Self) -> bool {
        let within = |a: &Self, b: &Self| a.iter().all(|name| b.iter().any(|other| name == other));
        self.bits == other.bits && within(self, other) && within(other, self)
    }
}

impl Eq for Methods {}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("any");
        }
        self.iter().enumerate().try_for_each(|(i, name)| {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(name)
        })
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Methods({self})")
    }
}

/// A method that [`RequestHandler`](crate::web::RequestHandler) has a function for; all others have one together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other,
}

impl Verb {
    /// Tornado's `SUPPORTED_METHODS`.
    const STANDARD: [Self; 7] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    #[inline]
    pub(in crate::web) fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }

    const fn named(name: &str) -> Self {
        match name.as_bytes() {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"PATCH" => Self::Patch,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "*",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// RFC 9110 §9.1: a method is a token, and case-sensitive.
#[track_caller]
const fn assert_is_method(name: &str) {
    assert!(
        !matches!(name.as_bytes(), b"*"),
        "\"*\" is no HTTP method: for every method write `Methods::ANY`"
    );
    assert!(is_token(name), "a name that is empty or has such a character is no HTTP method");
    let mut i = 0;
    while i < name.len() {
        let lower = name.as_bytes()[i].is_ascii_lowercase();
        assert!(!lower, "HTTP methods are case-sensitive: write them in upper case");
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> impl Iterator<Item = &str> {
        text.split(' ').filter(|name| !name.is_empty())
    }

    #[test]
    fn what_is_allowed_and_answered() {
        for (methods, shown, allow, answered, refused) in [
            (Methods::of(&["GET"]), "GET", "GET, HEAD, OPTIONS", "GET HEAD", "POST OPTIONS LOCK"),
            (
                Methods::of(&["POST", "GET", "GET"]),
                "POST, GET",
                "POST, GET, HEAD, OPTIONS",
                "HEAD POST",
                "PUT",
            ),
            (Methods::of(&["OPTIONS", "HEAD"]), "OPTIONS, HEAD", "OPTIONS, HEAD", "HEAD OPTIONS", "GET"),
            (
                Methods::of(&["LOCK", "PUT"]),
                "PUT, LOCK",
                "PUT, LOCK, OPTIONS",
                "LOCK PUT",
                "HEAD UNLOCK lock",
            ),
            (
                Methods::ANY,
                "any",
                "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
                "GET HEAD POST PUT PATCH DELETE OPTIONS LOCK x",
                "",
            ),
            (Methods::NONE, "", "OPTIONS", "", "GET HEAD OPTIONS LOCK"),
        ] {
            let answers = |name: &str| methods.answers(&Method::from_bytes(name.as_bytes()).unwrap());
            assert_eq!((methods.to_string().as_str(), methods.allow().as_str()), (shown, allow));
            assert!(names(answered).all(answers), "{methods:?} {answered}");
            assert!(!names(refused).any(answers), "{methods:?} {refused}");
        }
    }

    #[test]
    fn sets() {
        let (get, post) = (Methods::of(&["GET"]), Methods::of(&["POST"]));
        let both = post.and(get);
        assert_eq!((both.to_string().as_str(), both), ("POST, GET", get.and(post)));
        assert_eq!((both.without(post), both.common(post), get.common(post)), (get, post, Methods::NONE));
        let rest = Methods::ANY.without(get);
        assert!(rest.is_any() && !rest.contains(&Method::GET) && rest.contains(&Method::TRACE));
        assert_eq!(rest.and(get), Methods::ANY);
        assert_eq!(Methods::ANY.common(both).to_string(), "GET, POST");
        assert_eq!(Methods::of(&["LOCK", "GET"]), Methods::of(&["GET", "LOCK"]));
        assert_ne!(Methods::of(&["LOCK"]), Methods::of(&["UNLOCK"]));
        assert!(Methods::NONE.is_empty() && !Methods::of(&["LOCK"]).is_empty());
    }

    #[test]
    fn names_that_are_none() {
        for names in [&["get"][..], &["*"], &[""], &["P T"], &["GET", "Propfind"]] {
            assert!(std::panic::catch_unwind(|| Methods::of(names)).is_err(), "{names:?}");
        }
    }
}
