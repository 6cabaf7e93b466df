//! Secrets that stand elsewhere: `${env:NAME}` and `${file:PATH}` in place of a password.
//!
//! They are read when they are needed, for each connection anew, so that a password can be changed while a job runs.

use crate::AuthError;

/// A longer file is no secret.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The value itself, or what it points to; a line end at the end of a file is none of the secret's.
pub fn resolved(value: &str) -> Result<String, AuthError> {
    let reference = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match reference.and_then(|reference| reference.split_once(':')) {
        Some(("env", name)) => {
            std::env::var(name).map_err(|_| AuthError(format!("the environment has no {name}")))
        }
        Some(("file", path)) => {
            let text = file(path)
                .map_err(|reason| AuthError(format!("cannot use the file: file={path} reason={reason}")))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_string())
        }
        _ => Ok(value.to_string()),
    }
}

fn file(path: &str) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    let bytes_long = std::fs::metadata(path).map_err(told)?.len();
    if bytes_long > FILE_BYTES_MAX {
        return Err(format!("it has {bytes_long} bytes, and a secret at most {FILE_BYTES_MAX}"));
    }
    let bytes = std::fs::read(path).map_err(told)?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_string())
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn a_secret_is_itself_or_what_it_points_to() {
        let folder = std::env::temp_dir().join(format!("eventwright-secrets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("password");
        std::fs::write(&path, "pencil\r\n").unwrap();
        let named = |path: &std::path::Path| format!("${{file:{}}}", path.display());
        assert_eq!(resolved(&named(&path)).unwrap(), "pencil");
        std::fs::write(&path, [0xff]).unwrap();
        assert!(resolved(&named(&path)).unwrap_err().0.contains("not UTF-8"));
        std::fs::write(&path, vec![b'x'; 2 << 20]).unwrap();
        assert!(resolved(&named(&path)).unwrap_err().0.contains("at most"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(resolved(&named(&path)).is_err());
        assert!(resolved("${env:NO_SUCH_NAME_AT_ALL}").is_err());
        for plain in ["pencil", "${pencil}", "${other:pencil}", "${env:X", ""] {
            assert_eq!(resolved(plain).unwrap(), plain);
        }
    }
}
