//! `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`

use super::{PyError, R, check_width};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    Center,
    /// Between the sign and the digits.
    AfterSign,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Spec {
    pub(super) fill: Option<char>,
    pub(super) align: Option<Align>,
    pub(super) sign: Option<char>,
    /// `z`: no negative zero.
    pub(super) has_plain_zero: bool,
    /// `#`
    pub(super) is_alternate: bool,
    pub(super) width: Option<usize>,
    /// `,` or `_`
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    pub(super) kind: Option<char>,
}

fn align_of(c: char) -> Option<Align> {
    Some(match c {
        '<' => Align::Left,
        '>' => Align::Right,
        '^' => Align::Center,
        '=' => Align::AfterSign,
        _ => return None,
    })
}

impl Spec {
    /// `of` is the type in errors.
    pub(super) fn parse(text: &str, of: &str) -> R<Self> {
        let mut spec = Self::default();
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        if let Some(align) = chars.get(1).copied().and_then(align_of) {
            (spec.fill, spec.align) = (Some(chars[0]), Some(align));
            at = 2;
        } else if let Some(align) = chars.first().copied().and_then(align_of) {
            spec.align = Some(align);
            at = 1;
        }
        let mut take = |wanted: &[char]| {
            let found = chars.get(at).copied().filter(|c| wanted.contains(c));
            at += usize::from(found.is_some());
            found
        };
        spec.sign = take(&['+', '-', ' ']);
        spec.has_plain_zero = take(&['z']).is_some();
        spec.is_alternate = take(&['#']).is_some();
        if take(&['0']).is_some() {
            spec.fill = spec.fill.or(Some('0'));
            // A text has no sign after which the zeros could go.
            spec.align = spec.align.or(Some(if of == "str" { Align::Left } else { Align::AfterSign }));
        }
        spec.width = number(&chars, &mut at)?;
        if let Some(grouping) = chars.get(at).copied().filter(|c| matches!(c, ',' | '_')) {
            spec.grouping = Some(grouping);
            at += 1;
        }
        if chars.get(at) == Some(&'.') {
            at += 1;
            spec.precision = number(&chars, &mut at)?;
            if spec.precision.is_none() {
                return Err(PyError::value_error("Format specifier missing precision"));
            }
        }
        spec.kind = chars.get(at).copied();
        at += usize::from(spec.kind.is_some());
        if at < chars.len() {
            return Err(PyError::value_error(format!(
                "Invalid format specifier '{text}' for object of type '{of}'"
            )));
        }
        Ok(spec)
    }

    /// The text, filled up. `sign` is what stands before a number's digits.
    pub(super) fn pad(&self, sign: &str, text: &str, default: Align) -> String {
        let length = sign.chars().count() + text.chars().count();
        let missing = self.width.unwrap_or(0).saturating_sub(length);
        let fill = |count: usize| self.fill.unwrap_or(' ').to_string().repeat(count);
        match self.align.unwrap_or(default) {
            Align::Left => format!("{sign}{text}{}", fill(missing)),
            Align::Right => format!("{}{sign}{text}", fill(missing)),
            Align::Center => format!("{}{sign}{text}{}", fill(missing / 2), fill(missing - missing / 2)),
            Align::AfterSign => format!("{sign}{}{text}", fill(missing)),
        }
    }
}

fn number(chars: &[char], at: &mut usize) -> R<Option<usize>> {
    let start = *at;
    let mut value: usize = 0;
    while let Some(digit) = chars.get(*at).and_then(|c| c.to_digit(10)) {
        value = value.saturating_mul(10).saturating_add(digit as usize);
        *at += 1;
    }
    if *at == start {
        return Ok(None);
    }
    check_width(value)?;
    Ok(Some(value))
}
