//! The order in which FRR lists interfaces: by name, digits by their number, so that `gre2` comes before `gre10`.

use std::cmp::Ordering;

/// Compares two interface names. A total order: equal only for equal names.
#[must_use]
pub fn compare_interface_names(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        let order = match (left, right) {
            ([], []) => return a.cmp(b), // `eth1` and `eth01`
            ([], _) => return Ordering::Less,
            (_, []) => return Ordering::Greater,
            ([x, ..], [y, ..]) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, after_x) = take_number(left);
                let (y, after_y) = take_number(right);
                (left, right) = (after_x, after_y);
                // Without leading zeros the longer number is the greater one, and no number is too long.
                x.len().cmp(&y.len()).then_with(|| x.cmp(y))
            }
            ([x, rest_x @ ..], [y, rest_y @ ..]) => {
                (left, right) = (rest_x, rest_y);
                x.cmp(y)
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Splits the digits off that `text` begins with, and drops their leading zeros.
fn take_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().position(|c| *c != b'0').unwrap_or(digits.len());
    (digits.get(zeros..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["gre10", "gre2", "eth1.20", "eth1.3", "gre", "lo", "eth01", "del0", "de0", "eth1"];
        names.sort_by(|a, b| compare_interface_names(a, b));
        assert_eq!(
            names,
            ["de0", "del0", "eth01", "eth1", "eth1.3", "eth1.20", "gre", "gre2", "gre10", "lo"]
        );
    }

    #[test]
    fn numbers_longer_than_any_integer() {
        let long = format!("a{}", "9".repeat(40));
        assert_eq!(compare_interface_names("a1", &long), Ordering::Less);
    }
}
