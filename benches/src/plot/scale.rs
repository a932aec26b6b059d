//! Where a value lies on an axis, and which values are named there.

/// How an axis grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Equal steps are equal differences, from zero.
    Linear,
    /// Equal steps are equal ratios.
    Logarithmic,
}

/// From values to places.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    growth: Growth,
    values: (f64, f64),
    places: (f64, f64),
}

/// About how many values a linear axis names.
const LINEAR_TICKS: f64 = 6.0;

impl Scale {
    /// A scale on which every one of `values` lies between `places`.
    pub fn over(values: impl Iterator<Item = f64>, growth: Growth, places: (f64, f64)) -> Self {
        let positive = values.filter(|value| *value > 0.0 && value.is_finite());
        let (low, high) = positive.fold((f64::MAX, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let values = match growth {
            _ if high == 0.0 => (0.1, 1.0),
            Growth::Linear => (0.0, high * 1.05),
            Growth::Logarithmic => (low / 1.25, high * 1.25),
        };
        Self { growth, values, places }
    }

    /// The place of a value.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        let share = match self.growth {
            Growth::Linear => (value - low) / (high - low),
            Growth::Logarithmic => (value.max(low) / low).ln() / (high / low).ln(),
        };
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// The values that are named.
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.values;
        match self.growth {
            Growth::Linear => {
                let step = round_up(high / LINEAR_TICKS);
                (0_u32..)
                    .map(|count| f64::from(count) * step)
                    .take_while(|tick| *tick <= high)
                    .collect()
            }
            Growth::Logarithmic => {
                let factors: &[f64] = if high / low > 200.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                (-9..12)
                    .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)))
                    .filter(|tick| (low..=high).contains(tick))
                    .collect()
            }
        }
    }
}

/// The next of 1, 2, 5, 10, 20, …
fn round_up(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= step * 0.999);
    factor.unwrap_or(10.0) * power
}

/// A value for a reader: no more digits than it needs.
pub fn shown(value: f64) -> String {
    let digits = match value.abs() {
        small if small < 1.0 => 2,
        middle if middle < 20.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_begins_at_zero_and_names_round_values() {
        let scale = Scale::over([30.0, 97.0].into_iter(), Growth::Linear, (0.0, 100.0));
        assert_eq!(scale.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!(scale.place(0.0).abs() < 1e-9);
    }

    #[test]
    fn a_logarithmic_axis_gives_equal_ratios_equal_room() {
        let scale = Scale::over([1.0, 100.0].into_iter(), Growth::Logarithmic, (0.0, 100.0));
        let room = |low, high| scale.place(high) - scale.place(low);
        assert!((room(1.0, 10.0) - room(10.0, 100.0)).abs() < 1e-9);
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    }

    #[test]
    fn an_axis_without_values_is_drawn_all_the_same() {
        assert!(
            !Scale::over([].into_iter(), Growth::Logarithmic, (0.0, 1.0))
                .ticks()
                .is_empty()
        );
    }

    #[test]
    fn values_have_the_digits_that_they_need() {
        assert_eq!(
            [0.25, 1.0, 12.5, 263.4, 100.0].map(shown),
            ["0.25", "1", "12.5", "263", "100"]
        );
    }
}
