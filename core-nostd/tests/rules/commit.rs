//! Section 7: commit and release.

use orchestrator_core::commit::{CommitError, Lease, SessionSlot, SessionTable, commit, committed_tokens, release};
use orchestrator_core::rows::{JobRow, NameId, PoolClass, PoolLists, PoolRow, PoolTableMut, Span};
use orchestrator_core::{HeldLease, JobSpec, Policy};

use crate::{Fleet, assigned, decide_in, device, exact, fleet, job, leak, pool, warm, winner};

/// Slots, free VRAM, and free VRAM of the devices of the pool at rank 0.
fn state(fleet: &Fleet) -> (u16, u64, Vec<u64>) {
    let table = fleet.table();
    let devices = table.lists[0].devices.of(table.devices);
    let free = devices.iter().map(|device| device.vram_free_bytes).collect();
    (table.rows[0].slots_free, table.rows[0].vram_free_bytes, free)
}

fn residents(fleet: &Fleet) -> u32 {
    fleet.table().lists[0].residents.len
}

fn commit_in(fleet: &mut Fleet, job: &JobSpec<'_>) -> Result<HeldLease<16>, CommitError> {
    let valid = job.validate(&Policy::default(), None).unwrap();
    fleet.commit(&valid, 0)
}

fn shares(lease: &Lease) -> Vec<(u8, u64, u64)> {
    let shares = lease.devices.iter();
    shares.map(|share| (share.position, share.kv_bytes(), share.weight_bytes())).collect()
}

fn needing(kv: i64, weights: i64) -> JobSpec<'static> {
    let mut job = job();
    (job.est_kv_bytes, job.requirements.min_vram_bytes) = (Some(kv), weights);
    job
}

/// COMMIT-1, COMMIT-6: a slot and the need; back come the slot and the KV.
#[test]
fn without_devices() {
    // resident_models, need of the first commit, of the second
    let table: [(Option<&'static [&'static str]>, u64, u64); 3] =
        [(None, 100, 100), (Some(&["m"]), 100, 100), (Some(&[]), 400, 100)];
    for (resident, first, second) in table {
        let mut published = pool("a");
        published.resident_models = resident;
        let mut owner = fleet(&[published]);
        let job = needing(100, 300);
        let lease = commit_in(&mut owner, &job).unwrap();
        assert_eq!(state(&owner), (3, 1000 - first, vec![]), "{resident:?}");
        assert_eq!((lease.rank, lease.kv_bytes, lease.weight_bytes), (0, 100, first - 100));
        assert!(shares(&lease).is_empty());
        let again = commit_in(&mut owner, &job).unwrap();
        assert_eq!(state(&owner), (2, 1000 - first - second, vec![]), "{resident:?}");
        // Weights stay: 1,000 - (first - 100).
        assert!(owner.release(again));
        assert!(owner.release(lease));
        assert_eq!(state(&owner), (4, 1100 - first, vec![]), "{resident:?}");
    }
}

/// COMMIT-1: a commit that the state does not allow changes nothing.
#[test]
fn refused_commits() {
    let mut full = pool("a");
    full.slots_free = 0;
    let mut owner = fleet(&[full]);
    assert_eq!(commit_in(&mut owner, &needing(1, 0)), Err(CommitError::NoSlot));
    assert_eq!(state(&owner), (0, 1000, vec![]));

    let mut owner = fleet(&[pool("a")]);
    assert_eq!(commit_in(&mut owner, &needing(1001, 0)), Err(CommitError::NoVram));
    assert_eq!(state(&owner), (4, 1000, vec![]));
    assert!(commit_in(&mut owner, &needing(1000, 0)).is_ok());
    assert_eq!(state(&owner), (3, 0, vec![]));
    let valid = needing(0, 0);
    let valid = valid.validate(&Policy::default(), None).unwrap();
    assert_eq!(owner.commit(&valid, 1), Err(CommitError::NoSuchPool));

    let mut split = pool("a");
    split.devices = leak([device(500, 300), device(500, 299)]);
    let mut owner = fleet(&[split]);
    let mut asking = needing(599, 0);
    asking.requirements.split_degree = Some(2);
    // ceil(599 / 2) = 300 > 299, though 599 are free in all.
    assert_eq!(commit_in(&mut owner, &asking), Err(CommitError::NoVram));
    asking.requirements.split_degree = Some(3);
    assert_eq!(commit_in(&mut owner, &asking), Err(CommitError::NoVram));
    assert_eq!(state(&owner), (4, 599, vec![300, 299]));
}

/// COMMIT-2, COMMIT-6: rounded-up shares of need and KV from each chosen device.
#[test]
fn splits() {
    let mut split = pool("a");
    split.devices = leak([device(1000, 600), device(1000, 900), device(1000, 900), device(1000, 700)]);
    split.resident_models = Some(&[]);
    let mut owner = fleet(&[split]);
    let mut asking = needing(400, 601);
    asking.requirements.split_degree = Some(3);
    // ceil(1,001 / 3) = 334 each, of which ceil(400 / 3) = 134 is KV; from the devices 1, 2 and 3.
    let lease = commit_in(&mut owner, &asking).unwrap();
    assert_eq!(shares(&lease), [(1, 134, 200), (2, 134, 200), (3, 134, 200)]);
    // 3,100 - 3 * 334
    assert_eq!(state(&owner), (3, 2098, vec![600, 566, 566, 366]));
    // The model is resident now: ceil(400 / 3) of KV, from the devices 0, 1 and 2.
    let second = commit_in(&mut owner, &asking).unwrap();
    assert_eq!(shares(&second), [(0, 134, 0), (1, 134, 0), (2, 134, 0)]);
    assert_eq!(state(&owner), (2, 1696, vec![466, 432, 432, 366]));
    assert!(owner.release(lease));
    assert_eq!(state(&owner), (3, 2098, vec![466, 566, 566, 500]));
    assert!(owner.release(second));
    // Weights stay: 900 - 200, 700 - 200.
    assert_eq!(state(&owner), (4, 2500, vec![600, 700, 700, 500]));
}

/// COMMIT-2: a share of KV is rounded up by itself, not a part of a rounded share.
#[test]
fn shares_are_rounded_apart() {
    let mut split = pool("a");
    split.devices = leak([device(100, 100), device(100, 100)]);
    split.resident_models = Some(&[]);
    // kv, weights, KV share, weight share
    for (kv, weights, kv_share, weight_share) in [(3, 3, 2, 1), (3, 4, 2, 2), (4, 3, 2, 2), (1, 0, 1, 0), (0, 1, 0, 1)]
    {
        let mut owner = fleet(&[split]);
        let mut asking = needing(kv, weights);
        asking.requirements.split_degree = Some(2);
        let lease = commit_in(&mut owner, &asking).unwrap();
        assert_eq!(shares(&lease), [(0, kv_share, weight_share), (1, kv_share, weight_share)], "{kv} + {weights}");
        let left = 100 - kv_share - weight_share;
        assert_eq!(state(&owner), (3, 2 * left, vec![left, left]));
    }
}

/// COMMIT-3, COMMIT-6: the devices with most free VRAM first, then lowest id, KV before weights.
#[test]
fn devices_without_a_split() {
    let mut several = pool("a");
    several.devices = leak([device(1000, 300), device(1000, 500), device(1000, 500)]);
    several.resident_models = Some(&[]);
    let mut owner = fleet(&[several]);
    let lease = commit_in(&mut owner, &needing(600, 500)).unwrap();
    // KV: 500 of device 1, 100 of device 2. Weights: the other 400 of device 2, 100 of device 0.
    assert_eq!(shares(&lease), [(1, 500, 0), (2, 100, 400), (0, 0, 100)]);
    assert_eq!(state(&owner), (3, 200, vec![200, 0, 0]));
    assert!(owner.release(lease));
    assert_eq!(state(&owner), (4, 800, vec![200, 500, 100]));

    // One device is enough, and the others give nothing.
    let lease = commit_in(&mut owner, &needing(400, 500)).unwrap();
    assert_eq!(shares(&lease), [(1, 400, 0)]);
    assert_eq!(state(&owner), (3, 400, vec![200, 100, 100]));
    // Nothing needed, nothing taken.
    let nothing = commit_in(&mut owner, &needing(0, 0)).unwrap();
    assert!(shares(&nothing).is_empty());
    assert_eq!(state(&owner), (2, 400, vec![200, 100, 100]));
    assert!(owner.release(nothing));
    assert_eq!(state(&owner), (3, 400, vec![200, 100, 100]));
}

/// COMMIT-4: residency is recorded where it is published.
#[test]
fn residency() {
    let mut published = pool("a");
    published.resident_models = Some(&["l"]);
    published.model_load_ms = 5.0;
    let mut owner = fleet(&[published]);
    let policy = exact().validate().unwrap();
    let start = |owner: &Fleet| decide_in(owner, &needing(0, 100), &policy, None).assignment().unwrap().start_us;
    assert_eq!(start(&owner), 5000);
    let lease = commit_in(&mut owner, &needing(0, 100)).unwrap();
    assert!(lease.resident);
    assert_eq!(residents(&owner), 2);
    assert_eq!(start(&owner), 0);
    assert!(commit_in(&mut owner, &needing(0, 100)).unwrap().resident);
    assert_eq!(residents(&owner), 2);
    assert!(owner.release(lease));
    // COMMIT-6: it stays after the release.
    assert_eq!((residents(&owner), start(&owner)), (2, 0));
    // Another model does not become resident by it.
    let mut other = needing(0, 100);
    other.model_id = "other";
    assert_eq!(decide_in(&owner, &other, &policy, None).assignment().unwrap().start_us, 5000);

    let mut owner = fleet(&[pool("a")]);
    assert!(commit_in(&mut owner, &needing(0, 100)).unwrap().resident);
    assert_eq!(residents(&owner), 0);
}

/// The parts of a table of one pool.
struct Rows {
    rows: Vec<PoolRow>,
    classes: Vec<PoolClass>,
    lists: Vec<PoolLists>,
    residents: Vec<NameId>,
}

impl Rows {
    fn table(&mut self) -> PoolTableMut<'_> {
        PoolTableMut {
            rows: &mut self.rows,
            classes: &self.classes,
            lists: &mut self.lists,
            devices: &mut [],
            residents: &mut self.residents,
        }
    }
}

fn job_row(model: u32, kv: i64, weights: i64) -> JobRow {
    let spec = needing(kv, weights);
    let mut row = *spec.validate(&Policy::default(), None).unwrap().facts();
    row.model = NameId(model);
    row
}

/// A pool with `residents` resident models 10, 20, … and room for `capacity`.
fn rows_with(residents: u32, capacity: u32) -> Rows {
    let mut published = pool("a");
    published.resident_models = Some(&[]);
    (published.slots_total, published.slots_free) = (100, 100);
    let lists = PoolLists {
        residents: Span { start: 2, len: residents },
        residents_capacity: capacity,
        ..PoolLists::default()
    };
    // Two entries before and one behind belong to others.
    let mut arena = vec![NameId(7); capacity as usize + 3];
    for place in 0..residents {
        arena[place as usize + 2] = NameId(10 * (place + 1));
    }
    let valid = published.validate().unwrap();
    Rows { rows: vec![*valid.row()], classes: vec![*valid.class()], lists: vec![lists], residents: arena }
}

fn commit_rows(rows: &mut Rows, job: &JobRow) -> Lease {
    commit(&mut rows.table(), job, 0).unwrap()
}

/// COMMIT-4: the 64th model is recorded, the 65th is not, and is loaded again each time.
#[test]
fn sixty_four_residents() {
    let mut rows = rows_with(63, 80);
    assert!(commit_rows(&mut rows, &job_row(5, 1, 10)).resident);
    assert_eq!(rows.lists[0].residents.len, 64);
    assert_eq!(rows.rows[0].vram_free_bytes, 989);
    // Known: KV only.
    assert!(commit_rows(&mut rows, &job_row(5, 1, 10)).resident);
    assert_eq!(rows.rows[0].vram_free_bytes, 988);
    for free in [977, 966] {
        assert!(!commit_rows(&mut rows, &job_row(6, 1, 10)).resident);
        assert_eq!((rows.lists[0].residents.len, rows.rows[0].vram_free_bytes), (64, free));
    }
    let expected: Vec<NameId> = [5].into_iter().chain((1..=63).map(|place| 10 * place)).map(NameId).collect();
    assert_eq!(rows.lists[0].residents.of(&rows.residents), expected);
    // The entries of others are as they were.
    assert_eq!((rows.residents[0], rows.residents[1], rows.residents[66]), (NameId(7), NameId(7), NameId(7)));
}

/// COMMIT-4: the list stays in ascending order, and inside its owner's storage.
#[test]
fn residents_in_order() {
    let mut rows = rows_with(2, 5);
    for model in [15, 25, 5] {
        assert!(commit_rows(&mut rows, &job_row(model, 0, 0)).resident);
    }
    assert_eq!(rows.lists[0].residents.of(&rows.residents), [5, 10, 15, 20, 25].map(NameId));
    assert!(!commit_rows(&mut rows, &job_row(30, 0, 0)).resident);
    assert_eq!(rows.residents, [7, 7, 5, 10, 15, 20, 25, 7].map(NameId));
    // A model without a number of its own is not recorded.
    let mut rows = rows_with(0, 5);
    for model in [NameId::FOREIGN, NameId::NONE] {
        assert!(!commit_rows(&mut rows, &job_row(model.0, 0, 0)).resident);
        assert_eq!(rows.lists[0].residents.len, 0);
    }
}

fn table(slots: usize, buckets: usize) -> SessionTable<Vec<SessionSlot>, Vec<u32>> {
    SessionTable::new(vec![SessionSlot::EMPTY; slots], vec![9; buckets])
}

fn order<S, B>(sessions: &SessionTable<S, B>) -> Vec<(&str, u32, u32)>
where
    S: AsRef<[SessionSlot]> + AsMut<[SessionSlot]>,
    B: AsRef<[u32]> + AsMut<[u32]>,
{
    sessions.iter().map(|(id, entry)| (id, entry.pool, entry.cached_tokens)).collect()
}

/// COMMIT-5: the least recently committed entry goes; a look-up does not count.
#[test]
fn session_table() {
    // One bucket: all ids collide.
    for buckets in [1, 2, 16] {
        let mut sessions = table(3, buckets);
        assert!(sessions.is_empty());
        sessions.record("a", 1, 10);
        sessions.record("b", 2, 20);
        sessions.record("c", 3, 30);
        assert_eq!(order(&sessions), [("a", 1, 10), ("b", 2, 20), ("c", 3, 30)]);
        // "a" moves, and is the most recent now; being looked up changes nothing.
        sessions.record("a", 4, 40);
        assert!(sessions.get("b").is_some());
        assert_eq!(order(&sessions), [("b", 2, 20), ("c", 3, 30), ("a", 4, 40)]);
        sessions.record("d", 5, 50);
        assert_eq!(order(&sessions), [("c", 3, 30), ("a", 4, 40), ("d", 5, 50)]);
        assert_eq!(sessions.get("b"), None);
        // The newest again, and one in the middle.
        sessions.record("d", 5, 51);
        sessions.record("a", 4, 41);
        assert_eq!(order(&sessions), [("c", 3, 30), ("d", 5, 51), ("a", 4, 41)]);
        sessions.record("b", 6, 60);
        sessions.record("e", 7, 70);
        assert_eq!(order(&sessions), [("a", 4, 41), ("b", 6, 60), ("e", 7, 70)]);
        for (id, found) in [("a", true), ("b", true), ("c", false), ("d", false), ("e", true), ("", false)] {
            assert_eq!(sessions.get(id).is_some(), found, "{id} in {buckets} buckets");
        }
        assert_eq!((sessions.len(), sessions.capacity()), (3, 3));
    }
}

/// COMMIT-5: capacity 0 records nothing, capacity 1 the last session.
#[test]
fn smallest_session_tables() {
    for (slots, buckets) in [(0, 0), (0, 4), (4, 0)] {
        let mut sessions = table(slots, buckets);
        sessions.record("a", 1, 10);
        assert_eq!((sessions.get("a"), sessions.len()), (None, 0), "{slots} {buckets}");
    }
    let mut sessions = table(1, 1);
    sessions.record("a", 1, 10);
    sessions.record("a", 2, 20);
    assert_eq!(order(&sessions), [("a", 2, 20)]);
    sessions.record("b", 3, 30);
    assert_eq!(order(&sessions), [("b", 3, 30)]);
    // An id above its limit is in no table.
    sessions.record(&"x".repeat(65), 4, 40);
    assert_eq!(order(&sessions), [("b", 3, 30)]);
    sessions.record(&"x".repeat(64), 4, 40);
    assert_eq!(sessions.get(&"x".repeat(64)).map(|entry| entry.pool), Some(4));
}

/// COMMIT-5: `min(2^24 - 1, prompt + output)`, also for a cold job.
#[test]
fn tokens_that_a_commit_records() {
    for (prompt, output, tokens) in [
        (0, 0, 0),
        (100, 20, 120),
        (16_777_214, 1, 16_777_215),
        (16_777_215, 1, 16_777_215),
        (16_777_215, 16_777_215, 16_777_215),
    ] {
        for kv_hint in [orchestrator_core::KvHint::Reuse, orchestrator_core::KvHint::Cold] {
            let mut asking = job();
            (asking.prompt_tokens, asking.expected_tokens, asking.kv_hint) = (prompt, Some(output), kv_hint);
            let valid = asking.validate(&Policy::default(), None).unwrap();
            assert_eq!(committed_tokens(valid.facts()), tokens, "{prompt} + {output}");
        }
    }
}

/// COMMIT-5: while an entry names a pool it replaces what the pool published; once moved or evicted, that stands again.
#[test]
fn entries_and_published_counts() {
    let mut holder = pool("a");
    holder.warm_sessions = leak([warm("s", 40)]);
    let pools = [holder, pool("b")];
    let owner = fleet(&pools);
    let policy = exact().validate().unwrap();
    let mut asking = job();
    asking.session_id = Some("s");
    let valid = asking.validate(&policy, None).unwrap();
    let mut sessions = table(1, 1);
    let cached = |sessions: &SessionTable<Vec<SessionSlot>, Vec<u32>>| {
        let explained = owner.explain(&valid, &policy, sessions.get("s"));
        let (winner, other) = (explained.winner.unwrap(), explained.runner_up.unwrap());
        let mut both = [(winner.parts.rank, winner.cached_tokens), (other.parts.rank, other.cached_tokens)];
        both.sort_unstable();
        both.map(|(_, tokens)| tokens)
    };
    assert_eq!(cached(&sessions), [40, 0]);
    sessions.record("s", 0, 7);
    assert_eq!(cached(&sessions), [7, 0]);
    sessions.record("s", 0, 0);
    assert_eq!(cached(&sessions), [0, 0]);
    sessions.record("s", 1, 9);
    assert_eq!(cached(&sessions), [40, 9]);
    sessions.record("other", 0, 1);
    assert_eq!(cached(&sessions), [40, 0]);

    // Only the table knows the session: warm there all the same.
    let mut unheard = asking;
    unheard.session_id = Some("t");
    let entry = Some(orchestrator_core::rows::SessionEntry { pool: 1, cached_tokens: 5 });
    let given = assigned(&pools, &unheard, &exact(), entry);
    assert_eq!((given.rank, given.warm), (1, true));
    assert_eq!(winner(&pools, &unheard, &exact()), "a");
}

/// COMMIT-6: never above the totals, also when a lease is given back twice.
#[test]
fn release_twice() {
    let mut rows = rows_with(0, 0);
    let lease = commit_rows(&mut rows, &job_row(1, 300, 0));
    assert_eq!((rows.rows[0].slots_free, rows.rows[0].vram_free_bytes), (99, 700));
    for _ in 0..2 {
        release(&mut rows.table(), &lease);
        assert_eq!((rows.rows[0].slots_free, rows.rows[0].vram_free_bytes), (100, 1000));
    }
}

/// COMMIT-6: a lease finds its pool when others come or go, and gives nothing to another pool.
#[test]
fn leases_follow_their_pool() {
    let mut owner = fleet(&[pool("m")]);
    let lease = commit_in(&mut owner, &needing(300, 0)).unwrap();
    let mut full = pool("a");
    full.slots_free = 0;
    full.vram_free_bytes = 10;
    owner.upsert(&full).unwrap();
    assert_eq!(owner.pool_id(0), Some(("a", "")));
    assert!(owner.release(lease));
    assert_eq!(state(&owner), (0, 10, vec![]), "the newcomer is not credited");
    let table = owner.table();
    assert_eq!((table.rows[1].slots_free, table.rows[1].vram_free_bytes), (4, 1000));

    // A pool that left takes its leases with it, also when one of the same name comes back.
    let mut owner = fleet(&[pool("m")]);
    let lease = commit_in(&mut owner, &needing(300, 0)).unwrap();
    assert!(owner.remove("m", ""));
    let mut back = pool("m");
    back.slots_free = 1;
    owner.upsert(&back).unwrap();
    assert!(!owner.release(lease));
    assert_eq!(state(&owner).0, 1);
}

/// COMMIT-2: a lease says what was taken, with every share rounded up.
#[test]
fn leases_of_splits_count_rounded_shares() {
    let mut split = pool("a");
    split.devices = leak([device(100, 100), device(100, 100)]);
    split.resident_models = Some(&[]);
    let mut asking = needing(3, 4);
    asking.requirements.split_degree = Some(2);
    let lease = commit_in(&mut fleet(&[split]), &asking).unwrap();
    // ceil(7 / 2) = 4 from each of two devices, of which ceil(3 / 2) = 2 is KV.
    assert_eq!((lease.kv_bytes, lease.weight_bytes), (4, 4));
}

/// COMMIT-6: a lease of a pool that is gone gives nothing back to anyone.
#[test]
fn release_without_its_pool() {
    let mut rows = rows_with(0, 0);
    let lease = commit_rows(&mut rows, &job_row(1, 300, 0));
    let before = rows.rows.clone();
    release(&mut rows.table(), &Lease { rank: 1, ..lease });
    assert_eq!(rows.rows, before);
}
