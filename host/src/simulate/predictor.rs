//! Output lengths as a real, imperfect predictor would have told them.
//!
//! A table of another workload says of each answer how long it was, and in which of a few classes a trained predictor put
//! it beforehand. What a class means in tokens is fitted on that table: the median of the class. A request of a trace gets
//! the class of an answer about as long as its own, drawn anew for each: so its error is one that was really made.
//!
//! ```text
//! table: actual, class ─▶ median of each class ─────────────┐
//!                      └▶ answers about as long as this one ─▶ one of them ─▶ its class ─▶ predicted tokens
//! ```
//!
//! Invariants: the same table, trace and seed give the same predictions; a request that has a prediction keeps it.

use std::collections::BTreeMap;
use std::path::Path;

use super::request::Trace;
use crate::import::tables::{BadCell, Row, Table};
use crate::import::{ImportError, Refusals};
use crate::random::Random;

const COLUMNS: [&str; 2] = ["actual_output_tokens", "predicted_class"];
/// So many answers are about as long as a request's, at least.
const ALIKE: usize = 64;
/// Of all that is drawn from a seed, these numbers.
const DRAWS: u64 = 0x7072_6564_6963_7400;

/// An answer of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    tokens: u32,
    class: u32,
}

/// A predictor of output lengths, with the errors that it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predictor {
    /// By length, and then as they stand in the table; at least one.
    answers: Vec<Answer>,
    /// The median length of each class.
    class_tokens: BTreeMap<u32, u32>,
}

impl Predictor {
    /// Reads a table with the columns `actual_output_tokens` and `predicted_class`; rows that say neither are refused.
    ///
    /// # Errors
    /// The file cannot be read, lacks a column, or has no row that can be used.
    pub fn read(path: &Path, refused: &mut Refusals) -> Result<Self, ImportError> {
        let mut table = Table::open(path, &COLUMNS)?;
        let mut answers = Vec::new();
        while let Some(row) = table.next_row(refused)? {
            match answer(&row) {
                Ok(answer) => answers.push(answer),
                Err(bad) => row.refuse(bad, refused),
            }
        }
        if answers.is_empty() {
            let expected = format!("rows with the columns {}", COLUMNS.join(", "));
            return Err(ImportError::Empty { path: path.to_owned(), expected });
        }
        Ok(Self::of(answers))
    }

    fn of(mut answers: Vec<Answer>) -> Self {
        // Stable: answers of one length stay in the order of the table, which no class decides.
        answers.sort_by_key(|answer| answer.tokens);
        let mut lengths: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for answer in &answers {
            lengths.entry(answer.class).or_default().push(answer.tokens);
        }
        let class_tokens = lengths.into_iter().map(|(class, lengths)| (class, lengths[lengths.len() / 2])).collect();
        Self { answers, class_tokens }
    }

    /// Predicts the output of every request that brings no prediction.
    pub fn predict_all(&self, trace: &mut Trace, seed: u64) {
        let mut random = Random::of(seed, DRAWS);
        for request in &mut trace.requests {
            // Drawn for all, so that one request's prediction changes no other's.
            let predicted = self.predict(request.output_tokens, &mut random);
            request.predicted_output_tokens.get_or_insert(predicted);
        }
    }

    fn predict(&self, output_tokens: u32, random: &mut Random) -> u32 {
        self.class_tokens[&random.pick(self.alike(output_tokens)).class]
    }

    /// The answers of just this length, where they are many; else those around it.
    fn alike(&self, output_tokens: u32) -> &[Answer] {
        let place = self.answers.partition_point(|answer| answer.tokens < output_tokens);
        let end = self.answers.partition_point(|answer| answer.tokens <= output_tokens);
        if end - place >= ALIKE {
            return &self.answers[place..end];
        }
        let start = place.saturating_sub(ALIKE / 2).min(self.answers.len().saturating_sub(ALIKE));
        &self.answers[start..self.answers.len().min(start + ALIKE)]
    }
}

fn answer(row: &Row<'_>) -> Result<Answer, BadCell> {
    Ok(Answer { tokens: row.tokens(COLUMNS[0])?, class: row.required_u32(COLUMNS[1], u32::MAX)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::request::Request;

    fn asked(output_tokens: u32, predicted_output_tokens: Option<u32>) -> Request {
        Request { output_tokens, predicted_output_tokens, ..Request::plain() }
    }

    fn predictions(predictor: &Predictor, requests: Vec<Request>, seed: u64) -> Vec<Option<u32>> {
        let mut trace = Trace { requests, ..Trace::default() };
        predictor.predict_all(&mut trace, seed);
        trace.requests.into_iter().map(|request| request.predicted_output_tokens).collect()
    }

    fn read(text: &str, refused: &mut Refusals) -> Result<Predictor, ImportError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        std::fs::write(&path, text).unwrap();
        Predictor::read(&path, refused)
    }

    /// Class 0 has 10, 20 and 30 tokens, class 1 has 40 and 900: their medians, by hand, are 20 and 900.
    #[test]
    fn classes_mean_their_medians() {
        let mut refused = Refusals::default();
        let text = "row,actual_output_tokens,predicted_class\n0,30,0\n1,900,1\n2,10,0\n3,40,1\n4,20,0\n5,x,1\n6,7,\n";
        let predictor = read(text, &mut refused).unwrap();
        assert_eq!(predictor.class_tokens, [(0, 20), (1, 900)].into());
        assert_eq!(refused.total, 2);
        assert!(matches!(read("actual_output_tokens,predicted_class\n", &mut refused), Err(ImportError::Empty { .. })));
        assert!(matches!(read("tokens,class\n1,2\n", &mut refused), Err(ImportError::MissingColumns { .. })));
    }

    /// A predictor that is right about short answers and tosses a coin about long ones stays so, also beyond its table.
    #[test]
    fn errors_are_those_of_answers_as_long() {
        let short = (0..200).map(|_| Answer { tokens: 10, class: 0 });
        let long = (0..200).map(|number| Answer { tokens: 500, class: number % 2 });
        let predictor = Predictor::of(short.chain(long).collect());
        assert_eq!(predictor.class_tokens, [(0, 10), (1, 500)].into());
        let short = predictions(&predictor, vec![asked(3, None); 100], 1);
        assert!(short.iter().all(|&tokens| tokens == Some(10)), "{short:?}");
        for tokens in [500, 9_000] {
            let long = predictions(&predictor, vec![asked(tokens, None); 1000], 1);
            let right = long.iter().filter(|&&tokens| tokens == Some(500)).count();
            // A fair coin is further off than this once in 10^9 times.
            assert!((400..600).contains(&right), "{right}");
        }
    }

    /// A prediction of its own stands, and changes nobody else's; another seed draws others.
    #[test]
    fn predictions_of_a_trace_stand() {
        let predictor = Predictor::of((0..100).map(|number| Answer { tokens: number, class: number % 7 }).collect());
        let all = predictions(&predictor, (0..50).map(|tokens| asked(tokens, None)).collect(), 1);
        let some =
            predictions(&predictor, (0..50).map(|tokens| asked(tokens, (tokens == 20).then_some(5_000))).collect(), 1);
        assert_eq!(some[20], Some(5_000));
        assert_eq!((&all[..20], &all[21..]), (&some[..20], &some[21..]));
        assert_ne!(all, predictions(&predictor, (0..50).map(|tokens| asked(tokens, None)).collect(), 2));
    }
}
