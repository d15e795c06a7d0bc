//! Classes of pools as people can look at them: the busiest by themselves, the rest as one.

use std::cmp::Reverse;

use super::Summary;
use crate::simulate::fleet::SimFleet;
use crate::simulate::request::Sample;

/// More colours or columns than this nobody tells apart.
const SHOWN_MAX: usize = 7;

/// Classes that are shown as one, and their slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassGroup {
    /// The name of the class, or how many there are.
    pub name: String,
    /// Slots of all their pools.
    pub slots: u64,
    /// Which of [`SimFleet::class_names`] they are, and the slots of each.
    classes: Vec<(usize, u64)>,
}

impl ClassGroup {
    /// The classes that were busiest in any of the runs, then the largest, and the others together.
    #[must_use]
    pub fn of<'s>(fleet: &SimFleet<'_>, summaries: impl IntoIterator<Item = &'s Summary>) -> Vec<Self> {
        let slots = fleet.slots_by_class();
        let mut busiest = vec![0; slots.len()];
        for summary in summaries {
            for (most, &busy) in busiest.iter_mut().zip(&summary.busy_permille_by_class) {
                *most = busy.max(*most);
            }
        }
        let mut classes: Vec<usize> = (0..slots.len()).collect();
        classes.sort_by_key(|&class| (Reverse(busiest[class]), Reverse(slots[class]), class));
        let alone = if classes.len() <= SHOWN_MAX { classes.len() } else { SHOWN_MAX - 1 };
        let (first, others) = classes.split_at(alone);
        let group = |name: String, classes: &[usize]| {
            let classes: Vec<_> = classes.iter().map(|&class| (class, slots[class])).collect();
            Self { name, slots: classes.iter().map(|(_, slots)| slots).sum(), classes }
        };
        let mut groups: Vec<_> = first.iter().map(|&class| group(fleet.class_names[class].clone(), &[class])).collect();
        if !others.is_empty() {
            groups.push(group(format!("{} other classes", others.len()), others));
        }
        groups
    }

    /// Their slots in use at a time.
    #[must_use]
    pub fn busy_slots(&self, sample: &Sample) -> u64 {
        let busy = |class: usize| sample.busy_slots_by_class.get(class).copied().unwrap_or_default();
        self.classes.iter().map(|&(class, _)| u64::from(busy(class))).sum()
    }

    /// Their slots in use over a run, in 1/1000.
    #[must_use]
    pub fn busy_permille(&self, summary: &Summary) -> u64 {
        let busy = |class: usize| summary.busy_permille_by_class.get(class).copied().unwrap_or_default();
        let weighted: u64 = self.classes.iter().map(|&(class, slots)| busy(class) * slots).sum();
        weighted.checked_div(self.slots).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Warnings;
    use crate::simulate::fleet::{EngineModel, FleetRows};

    fn groups_of(slots: impl IntoIterator<Item = u32>, busy: Option<&Summary>) -> Vec<ClassGroup> {
        let named: Vec<_> =
            slots.into_iter().enumerate().map(|(number, slots)| (format!("p{number}"), slots)).collect();
        let pools: Vec<_> = named.iter().map(|(id, slots)| (&**id, "vllm", *slots)).collect();
        let rows = FleetRows::plain(&pools);
        ClassGroup::of(&SimFleet::new(&rows, EngineModel::default(), 1, &mut Warnings::default()).unwrap(), busy)
    }

    #[test]
    fn the_busiest_alone_and_the_rest_as_one() {
        let few = groups_of([2, 5, 2], None);
        assert_eq!(few.iter().map(|group| group.slots).collect::<Vec<_>>(), [5, 4]);
        // Class 0 has two pools of two slots, class 1 one of five.
        let sample = |busy_slots_by_class| Sample { at_us: 0, waiting: 0, running: 0, busy_slots_by_class };
        let busy = sample(vec![3, 4]);
        assert_eq!((few[0].busy_slots(&busy), few[1].busy_slots(&busy)), (4, 3));
        assert_eq!(groups_of(1..=7, None).len(), 7);
        let many = groups_of(1..=9, None);
        assert_eq!(many.iter().map(|group| group.slots).collect::<Vec<_>>(), [9, 8, 7, 6, 5, 4, 3 + 2 + 1]);
        assert_eq!(many[6].name, "3 other classes");
        assert_eq!(many[6].busy_slots(&sample(vec![1, 2, 0, 4, 4, 4, 4, 4, 4])), 3);
        // All of one slot, half of two, none of three.
        let summary = Summary { busy_permille_by_class: vec![1000, 500, 0, 9, 9, 9, 9, 9, 9], ..Summary::default() };
        assert_eq!(many[6].busy_permille(&summary), 333);
        assert_eq!(few[1].busy_permille(&summary), 1000);
        let busiest = groups_of(1..=9, Some(&summary));
        assert_eq!(busiest.iter().map(|group| group.slots).collect::<Vec<_>>(), [1, 2, 9, 8, 7, 6, 5 + 4 + 3]);
    }
}
