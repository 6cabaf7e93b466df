//! Certificates of servers and clients for tests, by openssl: an authority, a server on loopback, a client.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process;

const LIMIT: Duration = Duration::from_secs(60);

/// `$1` names the server.
const MAKE: &str = "set -e
key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $key -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
printf 'subjectAltName=IP:127.0.0.1' > server.ext
printf 'extendedKeyUsage=clientAuth' > client.ext
for side in server client; do
  name=shop; test $side = client || name=$1
  openssl req $key -subj /CN=$name -keyout $side.key -out $side.csr
  openssl x509 -req -in $side.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $side.ext -out $side.pem
done";

/// Makes `ca.pem`, `server.pem`, `client.pem` and their `.key` files in the folder. The client is called `shop`.
pub fn make(folder: &Path, server: &str) -> Result<()> {
    let mut command = Command::new("bash");
    process::output(command.args(["-c", MAKE, "make", server]).current_dir(folder), LIMIT).map(drop)
}
