//! `/proc/PID/stat` of proc(5).

/// The fields of the line from the third on, which has the first place here. The second, the name of the
/// program in brackets, may hold anything.
pub(super) fn fields(line: &str) -> Option<Vec<&str>> {
    Some(line.rsplit_once(") ")?.1.split_ascii_whitespace().collect())
}
