//! Tries whether a folder can be read, or written.

use super::location::BucketPlace;
use crate::service::Access;
use dataflow::connector::{Probed, Role};
use std::fs::File;
use std::path::Path;

/// It is passed over by whoever reads the folder meanwhile, and goes at once.
const TRIED: &str = ".eventwright-probe";

pub(super) fn probe(path: &Path, role: Role) -> Vec<Probed> {
    let shown = path.display();
    let found = match role {
        Role::Sink => written(path),
        Role::Source | Role::Lookup => read(path),
    };
    match found {
        Ok(found) => vec![Probed::well("reached", format!("{shown}: {found}"))],
        Err(reason) => vec![Probed::failed("reached", format!("{shown}: {reason}"))],
    }
}

/// Lists a bucket, which changes nothing there.
pub(super) fn probe_bucket(place: &BucketPlace, access: &Access) -> Vec<Probed> {
    match place.open(access).and_then(|mut bucket| bucket.list(&place.folder(), "", 1)) {
        Ok((found, _)) => {
            let found = if found.is_empty() { "nothing is there yet" } else { "there are objects" };
            vec![Probed::well("reached", format!("{place}: {found}"))]
        }
        Err(error) => vec![Probed::failed("reached", format!("{place}: {}", error.message))],
    }
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{error}; look at the path and at the rights");
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        return File::open(path).map(|_| "a file that can be read".to_string()).map_err(failed);
    }
    let entries = std::fs::read_dir(path).map_err(failed)?.count();
    Ok(format!("a folder that can be read, with {entries} entries"))
}

fn written(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("nothing can be written there: {error}; look at the rights");
    if path.is_file() {
        return Err("it is a file, and rows are written to a folder; name a folder".into());
    }
    // A folder that is not there is made by the job: what is to be written to is the next one above.
    let folder = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let tried = folder.join(TRIED);
    File::create(&tried).map_err(failed)?;
    std::fs::remove_file(&tried).map_err(failed)?;
    Ok(if folder == path {
        "a folder that can be written".into()
    } else {
        "a folder that the job will make".into()
    })
}
