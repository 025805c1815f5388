//! A hash of a folder on disk: of every path, what stands there, and its bytes. It tells whether anything was changed since,
//! without a network and without coding anything; it is no CID and nobody else ever sees it. Times, owners and
//! permissions other than the owner's to execute count for nothing, as in a put.

use std::{fs::File, path::Path};

use dsn_core::hash::Hash;

use super::{Content, DiskTree, Found, FoundWhat, Source, Special, Tree};
use crate::input::InputError;

const CONTEXT: &str = "dsn folder fingerprint v1";

/// The hash of all that is in a folder.
///
/// # Errors
/// When it cannot be read, or has devices, FIFOs or sockets in it.
pub async fn fingerprint(top: &Path) -> Result<Hash, InputError> {
    let mut tree = DiskTree::open(top, Special::Refuse)?;
    tree.survey().await?;
    let mut all = blake3::Hasher::new_derive_key(CONTEXT);
    while let Some(Found { path, what }) = tree.next().await? {
        let (kind, content) = match what {
            FoundWhat::Folder => (b'd', Hash::of(b"")),
            FoundWhat::Link(target) => (b'l', Hash::of(&target)),
            FoundWhat::File { executable, content } => (if executable { b'x' } else { b'f' }, hash(content).await?),
        };
        // All of one length: where one entry ends and the next begins is in no doubt.
        all.update(&[kind]).update(&content.0).update(&Hash::of(path.as_bytes()).0);
    }
    Ok(Hash(*all.finalize().as_bytes()))
}

async fn hash(content: Content) -> Result<Hash, InputError> {
    match content {
        Content::Small(bytes) | Content::Large(Source::Memory(bytes)) => Ok(Hash::of(&bytes)),
        Content::Large(Source::Disk(path, _)) => {
            let failed = {
                let path = path.clone();
                move |source| InputError::Read { path, source }
            };
            let done = tokio::task::spawn_blocking(move || hash_file(&path)).await;
            done.map_err(std::io::Error::other).flatten().map_err(failed)
        }
    }
}

fn hash_file(path: &Path) -> std::io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(Hash(*hasher.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    const LARGE_BYTES: usize = 1_500_000;

    #[tokio::test]
    async fn whatever_is_changed_in_a_folder_changes_its_fingerprint() {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("top");
        let make = || {
            drop(fs::remove_dir_all(&top));
            fs::create_dir_all(top.join("a/empty")).unwrap();
            fs::write(top.join("a/small"), "small").unwrap();
            fs::write(top.join("large"), vec![7; LARGE_BYTES]).unwrap();
            symlink("a/small", top.join("link")).unwrap();
        };
        make();
        let before = fingerprint(&top).await.unwrap();
        make();
        assert_eq!(fingerprint(&top).await.unwrap(), before, "times do not count");
        let changes: [(&str, &dyn Fn()); 8] = [
            ("a byte", &|| fs::write(top.join("a/small"), "smalL").unwrap()),
            ("the last byte", &|| {
                let mut bytes = vec![7; LARGE_BYTES];
                *bytes.last_mut().unwrap() = 8;
                fs::write(top.join("large"), bytes).unwrap();
            }),
            ("a name", &|| fs::rename(top.join("a/small"), top.join("a/smell")).unwrap()),
            ("a new file", &|| fs::write(top.join("a/new"), "").unwrap()),
            ("a missing folder", &|| fs::remove_dir(top.join("a/empty")).unwrap()),
            ("a file in place of a folder", &|| {
                fs::remove_dir(top.join("a/empty")).unwrap();
                fs::write(top.join("a/empty"), "").unwrap();
            }),
            ("another link", &|| {
                fs::remove_file(top.join("link")).unwrap();
                symlink("a/other", top.join("link")).unwrap();
            }),
            ("a mode", &|| {
                fs::set_permissions(top.join("a/small"), fs::Permissions::from_mode(0o755)).unwrap();
            }),
        ];
        for (what, change) in changes {
            make();
            change();
            assert_ne!(fingerprint(&top).await.unwrap(), before, "{what}");
        }
    }
}
