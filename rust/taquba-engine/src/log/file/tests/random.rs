//! Owners and readers in a random order, a step at a time, some of which die.
//!
//! What must hold: a commit that was reported is found by every later owner; what one owner has found
//! every later one finds, in the same order; what a reader has seen every later owner finds.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::super::follow::Follower;
use super::super::segment::{HEAD_BYTES, Kind};
use super::*;

/// A generator of numbers: xorshift64*, Marsaglia 2003 and Vigna 2016.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).expect("31 bits") % bound
    }
}

/// What happened, in its order.
#[derive(Clone, Debug)]
enum Event {
    /// This owner was let in, and has found these keys.
    Opened(u64, Vec<String>),
    Reported(String),
    Seen(Vec<String>),
}

#[derive(Default)]
struct World {
    events: Mutex<Vec<Event>>,
}

/// One owner, which goes on when it is told to.
struct Actor {
    go: Sender<bool>,
    stopped: Receiver<bool>,
}

impl Actor {
    /// Lets it go to its next step, or die there; `false` if it has ended.
    fn step(&self, lives: bool) -> bool {
        self.go.send(lives).is_ok() && self.stopped.recv().unwrap_or(false)
    }
}

fn spawn(store: &Arc<Store>, world: &Arc<World>) -> Actor {
    let (go, gone) = channel::<bool>();
    let (stop, stopped) = channel();
    let (store, world) = (Arc::clone(store), Arc::clone(world));
    thread::spawn(move || {
        if gone.recv() != Ok(true) {
            return;
        }
        let disk = store.disk();
        let told = stop.clone();
        disk.script.set(move |_| {
            told.send(true).map_err(io::Error::other)?;
            match gone.recv() {
                Ok(true) => Ok(()),
                _ => Err(io::Error::other("it dies here")),
            }
        });
        let _ = live(&store, &world, &disk);
        let _ = stop.send(false);
    });
    Actor { go, stopped }
}

/// The life of an owner.
fn live(store: &Store, world: &World, disk: &Disk) -> Result<(), Fault> {
    let bounds = store.bounds();
    let taken = take(disk, bounds);
    if !store.is_newest(bounds) {
        return Ok(());
    }
    let mut taken = match taken {
        Err(Fault::Damaged(what)) => panic!("{what}"),
        taken => taken?,
    };
    let parts = taken.parts.clone();
    disk.tidy(bounds.epoch, &taken.older()).expect("the disk is fine");
    let found = keys_of(store.disk(), parts);
    world.events.lock().push(Event::Opened(bounds.epoch, found));
    for number in 1.. {
        let id = taken.last_id + number;
        let key = format!("{}-{number}", bounds.epoch);
        let mut frame = vec![0; HEAD_BYTES];
        // Some of them fill segments.
        let value = vec![1; if number % 3 == 0 { 40_000 } else { 10 }];
        rows::encode(&[row(&key, value, id)], &mut frame);
        if taken.tape.is_full() {
            taken.tape.roll(id)?;
        }
        taken.tape.append(&mut frame, id, Kind::Rows)?;
        world.events.lock().push(Event::Reported(key));
    }
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

fn keys_of(disk: Disk, parts: Vec<segment::Part>) -> Vec<String> {
    let keys = runtime().block_on(async move { replay(&disk, &parts, 0).await });
    keys.expect("what was found can be read")
}

/// What a reader sees; `None` if it cannot be said now.
fn look(store: &Store) -> Option<Vec<String>> {
    use slatedb::wal::{WalFileRange, WalReader as _};
    let reader = Follower::impatient(store.disk());
    runtime().block_on(async move {
        let last_id = reader.last_wal_file_id(0).await.ok()?;
        let mut rows = reader.iterator(WalFileRange::from(1..last_id + 1)).await.ok()?;
        let mut keys = Vec::new();
        while let Some(found) = rows.next().await.ok()? {
            let key = |row: RowEntry| String::from_utf8(row.key.to_vec()).expect("text");
            keys.extend(found.rows.into_iter().map(key));
        }
        Some(keys)
    })
}

fn check(events: &[Event], seed: u64) {
    let mut newest_epoch = 0;
    let mut certain: Vec<String> = Vec::new();
    for event in events {
        match event {
            Event::Opened(epoch, found) => {
                assert!(*epoch > newest_epoch, "seed {seed}: owners come in the order of epochs");
                newest_epoch = *epoch;
                assert!(found.starts_with(&certain), "seed {seed}: {certain:?} {found:?}");
                certain.clone_from(found);
            }
            Event::Reported(key) => {
                if !certain.contains(key) {
                    certain.push(key.clone());
                }
            }
            Event::Seen(keys) => {
                let both = keys.len().min(certain.len());
                assert_eq!(keys[..both], certain[..both], "seed {seed}");
                assert!(keys.len() >= certain.len(), "seed {seed}: {certain:?} {keys:?}");
                certain.clone_from(keys);
            }
        }
    }
}

fn play(seed: u64) -> usize {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (store, world) = (Arc::new(Store::new()), Arc::new(World::default()));
    let mut actors = vec![spawn(&store, &world)];
    for _ in 0..150 {
        match random.below(20) {
            0 if actors.len() < 5 => actors.push(spawn(&store, &world)),
            1 => {
                if let Some(keys) = look(&store) {
                    world.events.lock().push(Event::Seen(keys));
                }
            }
            2 if !actors.is_empty() => {
                let dead = random.below(actors.len());
                actors.swap_remove(dead).step(false);
            }
            _ if !actors.is_empty() => {
                let next = random.below(actors.len());
                if !actors[next].step(true) {
                    actors.swap_remove(next);
                }
            }
            _ => actors.push(spawn(&store, &world)),
        }
    }
    // Whoever is left stands still while the last one opens.
    let last = spawn(&store, &world);
    for _ in 0..30 {
        last.step(true);
    }
    let events = world.events.lock().clone();
    assert!(matches!(&events[..], [.., Event::Reported(_)]), "the last one works");
    check(&events, seed);
    events.len()
}

#[test]
fn nothing_reported_is_lost_and_nothing_found_is_taken_back_whatever_the_order() {
    // In 1429 an owner writes and dies after its successor has read the log: a reader must not show that.
    let event_count: usize = (1..=150).chain([1429]).map(play).sum();

    assert!(event_count > 3_000, "{event_count}");
}
