//! A past for a store: so many tasks more that stopped, like the last one that did.

use agent::config::Config;
use agent::ports::Records;
use agent::record::TaskRecord;
use agent::store::Store;

/// How many are written at once.
const CHUNK: u64 = 1000;

/// Spreads ids evenly, as random ones are: odd, so that no two are the same.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// Writes `count` tasks more to the store, one a millisecond earlier than the other.
///
/// # Errors
/// Where the store cannot be used, or no task has stopped yet.
pub fn copy(config: &Config, count: u64) -> anyhow::Result<()> {
    let store = Store::open(&config.database())?;
    let failed = |error| anyhow::anyhow!("the store failed: {error}");
    let Some(original) = store.stopped(1).map_err(failed)?.pop() else {
        anyhow::bail!("no task has stopped that could be copied");
    };
    for begin in (0..count).step_by(usize::try_from(CHUNK)?) {
        let copies: Vec<_> = (begin..count.min(begin + CHUNK))
            .map(|index| like(&original, index))
            .collect();
        store.put(&copies.iter().collect::<Vec<_>>()).map_err(failed)?;
    }
    Ok(())
}

fn like(original: &TaskRecord, index: u64) -> TaskRecord {
    let id = format!("{:032x}", (u128::from(index) + 1).wrapping_mul(SPREAD));
    let mut record = TaskRecord {
        name: format!("{}-{index}", original.name),
        id,
        ..original.clone()
    };
    let stopped_ms = original.times.stopped_ms;
    record.times.stopped_ms = stopped_ms.map(|time| time.saturating_sub(index));
    record
}
