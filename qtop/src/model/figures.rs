//! Numbers as people read them: short, in plain ASCII.

use std::time::Duration;

/// Five digits as they are, more in thousands, millions and so on.
#[must_use]
pub fn count(number: u64) -> String {
    let (mut rest, mut unit) = (number, "");
    for larger in ["k", "M", "G", "T", "P", "E"] {
        if rest < 100_000 {
            break;
        }
        (rest, unit) = (rest / 1_000, larger);
    }
    format!("{rest}{unit}")
}

/// A rate, or a dash where there is none yet.
#[must_use]
pub fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".to_owned(),
        Some(rate) if rate > 0.0 && rate < 9.95 => format!("{rate:.1}"),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is cut off at both ends"
        )]
        Some(rate) => count(rate.round() as u64),
    }
}

/// A duration to two digits or three.
#[must_use]
pub fn span(span: Duration) -> String {
    let (seconds, millis) = (span.as_secs(), span.as_secs_f64() * 1_000.0);
    match seconds {
        0 if millis < 9.995 => format!("{millis:.2} ms"),
        0 => format!("{millis:.0} ms"),
        1..10 => format!("{:.1} s", span.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", count(seconds / 86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let table = [
            (0, "0"),
            (99_999, "99999"),
            (100_000, "100k"),
            (99_999_999, "99999k"),
            (100_000_000, "100M"),
            (u64::MAX, "18446P"),
        ];
        for (number, text) in table {
            assert_eq!(count(number), text);
        }
        let table = [
            (None, "-"),
            (Some(0.0), "0"),
            (Some(0.04), "0.0"),
            (Some(9.9), "9.9"),
            (Some(9.96), "10"),
            (Some(1e30), "18446P"),
        ];
        for (number, text) in table {
            assert_eq!(rate(number), text);
        }
        let table = [
            (1, "0.00 ms"),
            (850, "0.85 ms"),
            (30_000, "30 ms"),
            (1_500_000, "1.5 s"),
            (119_000_000, "119 s"),
            (120_000_000, "2 min"),
            (7_200_000_000, "2 h"),
            (u64::MAX, "213M d"),
        ];
        for (micros, text) in table {
            assert_eq!(span(Duration::from_micros(micros)), text);
        }
    }
}
