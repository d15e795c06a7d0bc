//! Joining parts, patching tables, telling the contract.

use bytemuck::Zeroable;
use orchestrator_core::rule::key::Key;
use orchestrator_kernels::Contract;
use orchestrator_kernels::records::{Found, PoolChange, PoolCold, PoolHot, ViewChange, ViewCold, ViewHot};

use crate::device::Device;
use crate::native::Native;
use crate::random::Random;

/// Keys with few values, so that every word decides at times.
fn random_found(random: &mut Random, rank: u32) -> Found {
    let mut keys = [0, 1].map(|step| Key::from_words([0; 3].map(|_: u64| random.below(3)), rank + step));
    keys.sort_unstable();
    let keys_len = random.below_u32(3);
    for key in keys.iter_mut().skip(keys_len as usize) {
        *key = Key::zeroed();
    }
    Found { keys, keys_len, feasible: random.below_u32(1000) }
}

pub(crate) fn check_merge(device: &mut dyn Device, random: &mut Random, jobs: u32, parts: u32) {
    let ranks = (0..jobs).flat_map(|_| 0..parts);
    let parts_found: Vec<_> = ranks.map(|part| random_found(random, part * 2)).collect();
    let joined = device.merge_parts(&parts_found, jobs, parts);
    assert_eq!(joined.len(), jobs as usize);
    for (found, parts) in joined.iter().zip(parts_found.chunks_exact(parts as usize)) {
        let mut keys: Vec<_> = parts.iter().flat_map(|part| &part.keys[..part.keys_len as usize]).copied().collect();
        keys.sort_unstable();
        keys.truncate(2);
        assert_eq!(found.keys[..found.keys_len as usize], keys);
        assert_eq!(found.feasible, parts.iter().map(|part| part.feasible).sum::<u32>());
    }
}

pub(crate) fn check_patches(device: &mut dyn Device, random: &mut Random, records: u32, changes: u32) {
    let any = |random: &mut Random| -> u64 { random.bits() };
    let mut places: Vec<_> = (0..u64::from(records) + 20).collect();
    random.shuffle(&mut places);
    places[0] = u64::MAX;

    let pools: Vec<PoolChange> = places
        .iter()
        .take(changes as usize)
        .map(|&index| {
            let words = [0; 5].map(|_: u64| any(random));
            PoolChange { index, ..bytemuck::cast([words[0], words[1], words[2], words[3], words[4], 0]) }
        })
        .collect();
    let (mut hot, mut cold) = (vec![PoolHot::zeroed(); records as usize], vec![PoolCold::zeroed(); records as usize]);
    let (mut wanted_hot, mut wanted_cold) = (hot.clone(), cold.clone());
    device.patch_pools(&pools, &mut hot, &mut cold);
    for change in pools.iter().filter(|change| change.index < records.into()) {
        let place = usize::try_from(change.index).expect("a place");
        (wanted_hot[place], wanted_cold[place]) = (change.hot, change.cold);
    }
    assert!(hot == wanted_hot && cold == wanted_cold);

    let views: Vec<ViewChange> = places
        .iter()
        .take(changes as usize)
        .map(|&index| {
            let words = [0; 4].map(|_: u64| any(random));
            ViewChange { index, ..bytemuck::cast([words[0], words[1], words[2], words[3], 0, 0]) }
        })
        .collect();
    let (mut hot, mut cold) = (vec![ViewHot::zeroed(); records as usize], vec![ViewCold::zeroed(); records as usize]);
    let (mut wanted_hot, mut wanted_cold) = (hot.clone(), cold.clone());
    device.patch_views(&views, &mut hot, &mut cold);
    for change in views.iter().filter(|change| change.index < records.into()) {
        let place = usize::try_from(change.index).expect("a place");
        (wanted_hot[place], wanted_cold[place]) = (change.hot, change.cold);
    }
    assert!(hot == wanted_hot && cold == wanted_cold);
}

#[test]
fn parts_are_joined() {
    let (mut device, mut random) = (Native::new(1), Random::new(20));
    for (jobs, parts) in [(0, 1), (1, 1), (1, 9), (255, 2), (256, 3), (257, 4), (1000, 5)] {
        check_merge(&mut device, &mut random, jobs, parts);
    }
}

#[test]
fn changes_go_to_their_places() {
    let (mut device, mut random) = (Native::new(2), Random::new(21));
    for (records, changes) in [(0, 10), (1, 1), (300, 256), (300, 257), (3000, 1000)] {
        check_patches(&mut device, &mut random, records, changes);
    }
}

#[test]
fn the_contract_is_told() {
    assert_eq!(Native::new(3).report(), Contract::CURRENT);
}
