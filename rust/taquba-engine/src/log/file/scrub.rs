//! Scrubbing the log: each segment is read to its end, whether its records are still needed or not.

use super::disk::{Disk, LOG_DIR};
use super::segment::SegmentReader;
use super::{Fault, FileLog, blocking};

impl FileLog {
    /// Damaged segments: their names, and what is wrong with them.
    pub async fn scrub(&self) -> Result<Vec<(String, String)>, Fault> {
        let disk = self.disk.clone();
        blocking(move || scrub(&disk)).await
    }
}

fn scrub(disk: &Disk) -> Result<Vec<(String, String)>, Fault> {
    let mut found = Vec::new();
    for name in disk.list()?.segments {
        let read = SegmentReader::open(&disk.path(name), name)
            .and_then(|(mut reader, _)| reader.tail(name.first_id));
        match read {
            Ok(_) => {}
            Err(Fault::Damaged(detail)) => {
                // Its owner may have deleted it meanwhile.
                if disk.list()?.segments.contains(&name) {
                    found.push((format!("{LOG_DIR}/{name}"), detail));
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(found)
}
