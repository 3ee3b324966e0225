//! "Did you mean ..?"

/// The candidate that `given` is most likely a slip of: equal but for the case, or at most two typing mistakes away (one
/// in a name of up to four letters, where two would be most of it; a swap of neighbours counts as one).
pub(crate) fn closest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&given, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= if candidate.len() <= 4 { 1 } else { 2 })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// The number of insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    rows[i - 2][j - 2] + 1
                } else {
                    usize::MAX
                };
                replaced.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let verbs = ["get", "head", "post", "delete", "options", "prepare"];
        for (given, expected) in [
            ("gte", Some("get")),
            ("GET", Some("get")),
            ("gett", Some("get")),
            ("delet", Some("delete")),
            ("Opitons", Some("options")),
            ("perpare", Some("prepare")),
            ("load", None),
            ("render_story", None),
            ("set", Some("get")),
            ("", None),
        ] {
            assert_eq!(closest(given, verbs), expected, "{given}");
        }
    }
}
