//! Sums over seeds.

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

pub fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The standard error of the mean.
pub fn standard_error(values: &[f64]) -> f64 {
    let (n, mean) = (values.len() as f64, mean(values));
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (n - 1.0) / n).sqrt()
}

/// The most instants in any window of this length, the window's start included and
/// its end not.
pub fn peak(instants: &mut [f64], window: f64) -> usize {
    instants.sort_by(f64::total_cmp);
    let (mut most, mut from) = (0, 0);
    for (at, instant) in instants.iter().enumerate() {
        while instants[from] <= instant - window {
            from += 1;
        }
        most = most.max(at - from + 1);
    }
    most
}

/// The most instants in any bucket of this width; the first begins at zero.
pub fn fullest(instants: &[f64], bucket: f64) -> usize {
    counts(instants, bucket).into_iter().max().unwrap_or(0)
}

/// How many instants are in each bucket of this width; the first begins at zero.
pub fn counts(instants: &[f64], bucket: f64) -> Vec<usize> {
    let mut counts = Vec::new();
    for instant in instants {
        let at = (instant / bucket) as usize;
        if at >= counts.len() {
            counts.resize(at + 1, 0);
        }
        counts[at] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::{counts, fullest, peak, standard_error};

    #[test]
    fn a_peak_is_of_any_window_and_a_bucket_is_aligned() {
        let mut instants = [0.3, 0.09, 0.11, 0.2];
        assert_eq!(peak(&mut instants, 0.1), 2);
        assert_eq!(peak(&mut instants, 0.15), 3);
        assert_eq!(fullest(&[0.09, 0.11, 0.15], 0.1), 2);
        assert_eq!(counts(&[0.09, 0.25], 0.1), [1, 0, 1]);
    }

    #[test]
    fn the_standard_error_is_that_of_the_mean() {
        assert!((standard_error(&[1.0, 3.0]) - 1.0).abs() < 1e-12);
    }
}
