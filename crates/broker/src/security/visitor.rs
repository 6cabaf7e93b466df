//! Those who come by HTTP or PostgreSQL's protocol: the same users, tokens, certificates and rules as on the Kafka port,
//! and the same delays for those who try passwords.

use super::acl::{CLUSTER_NAME, Operation, ResourceType};
use super::session::password_fits;
use super::{ANONYMOUS, Access, shown};
use crate::broker::Broker;
use crate::call::Now;
use crate::metrics::count;
use crate::sync::lock;
use auth::plain::Login;
use auth::scram::ServerExchange;
use auth::{AuthError, Mechanism};
use std::net::IpAddr;
use std::sync::Arc;

/// How somebody says who they are.
pub enum Proof {
    Nothing,
    Password(Login),
    Token(String),
    /// The subject of a certificate that was checked already.
    Certificate(String),
}

/// Why nobody is let in, for the log, and for how long the answer is to wait.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAdmitted {
    pub reason: String,
    pub wait_ms: u64,
}

/// Somebody who was let in, with their rights of now.
#[derive(Clone)]
pub struct Visitor {
    access: Access,
    pub is_anonymous: bool,
}

impl Broker {
    /// Lets in who proves who they are. Who says nothing is nobody in particular, where nobody has to log in. It may take
    /// milliseconds.
    pub fn admit(&self, proof: &Proof, host: IpAddr) -> Result<Visitor, NotAdmitted> {
        let admitted = self.check(proof, host);
        let log_ins = &self.counters.http_log_ins;
        match &admitted {
            Ok(visitor) if visitor.is_anonymous => {}
            Ok(_) => count(&log_ins.done),
            Err(_) if matches!(proof, Proof::Nothing) => {}
            Err(_) => count(&log_ins.failed),
        }
        admitted
    }

    /// Begins the log-in of a user by SCRAM-SHA-256, over a protocol that names the user before.
    pub fn begin_scram(&self, user: &str, message: &[u8]) -> Result<(ServerExchange, Vec<u8>), AuthError> {
        let nonce = auth::scram::fresh_nonce()?;
        let credential = self.rules.current().credential_or_decoy(user, Mechanism::Sha256);
        ServerExchange::begin_for(user, message, &nonce, credential)
    }

    /// Lets in who proves to know the password, with the answer that proves the node to them.
    pub fn finish_scram(
        &self,
        exchange: &ServerExchange,
        message: &[u8],
        host: IpAddr,
    ) -> Result<(Visitor, Vec<u8>), NotAdmitted> {
        let host = host.to_canonical().to_string();
        let log_ins = &self.counters.postgresql_log_ins;
        let user = &exchange.user;
        match exchange.finish(message) {
            Ok(answer) => {
                count(&log_ins.done);
                lock(&self.throttle).succeeded(&host, user);
                Ok((self.visitor(format!("User:{user}").into(), &host, false), answer))
            }
            Err(error) => {
                count(&log_ins.failed);
                let (first_ms, now) = (self.config.security.failure_delay_ms, Now::of(&*self.os.clock));
                let wait_ms = lock(&self.throttle).failed(&host, user, first_ms, now.monotonic_ms);
                let reason = format!(
                    "a log-in failed: user=\"{}\" mechanism=SCRAM-SHA-256 reason={error}",
                    shown(user)
                );
                Err(NotAdmitted { reason, wait_ms: u64::try_from(wait_ms).unwrap_or_default() })
            }
        }
    }

    /// The same visitor with the rights of now: rules change while a connection lasts.
    pub fn rights_again(&self, visitor: &Visitor, host: IpAddr) -> Visitor {
        let principal = visitor.access.principal().into();
        self.visitor(principal, &host.to_canonical().to_string(), visitor.is_anonymous)
    }

    /// The same, from where the visitor came before.
    pub fn rights_now(&self, visitor: &Visitor) -> Visitor {
        self.visitor(visitor.principal(), visitor.host(), visitor.is_anonymous)
    }

    fn check(&self, proof: &Proof, host: IpAddr) -> Result<Visitor, NotAdmitted> {
        let now = Now::of(&*self.os.clock);
        let host = host.to_canonical().to_string();
        let first_ms = self.config.security.failure_delay_ms;
        let failed = |reason: String, wait_ms: i64| {
            let wait_ms = u64::try_from(wait_ms).unwrap_or_default();
            Err(NotAdmitted { reason: format!("a log-in failed: {reason}"), wait_ms })
        };
        let user = match proof {
            Proof::Nothing if self.config.security.authenticates() => {
                return Err(NotAdmitted { reason: "a log-in is needed".into(), wait_ms: 0 });
            }
            Proof::Nothing => return Ok(self.visitor(ANONYMOUS.into(), &host, true)),
            // Who sends some to a node that knows no users is served as everybody is.
            Proof::Password(_)
                if !self.config.security.authenticates() && self.rules.current().is_empty() =>
            {
                return Ok(self.visitor(ANONYMOUS.into(), &host, true));
            }
            Proof::Password(login) if password_fits(&self.rules.current(), login) => {
                lock(&self.throttle).succeeded(&host, &login.user);
                login.user.clone()
            }
            Proof::Password(login) => {
                let wait_ms = lock(&self.throttle).failed(&host, &login.user, first_ms, now.monotonic_ms);
                return failed(format!("user=\"{}\" over HTTP", shown(&login.user)), wait_ms);
            }
            Proof::Token(token) => match &self.tokens {
                None => {
                    return failed(
                        "a token over HTTP, and there are no keys to check it with".into(),
                        first_ms,
                    );
                }
                Some(tokens) => match tokens.verify(token, now.wall_ms) {
                    Ok(token) => token.subject,
                    Err(error) => return failed(format!("over HTTP {error}"), first_ms),
                },
            },
            Proof::Certificate(subject) => subject.clone(),
        };
        Ok(self.visitor(format!("User:{user}").into(), &host, false))
    }

    /// A user who has shown earlier who they are, with their rights of now.
    pub fn returning(&self, user: &str, host: IpAddr) -> Visitor {
        self.visitor(format!("User:{user}").into(), &host.to_canonical().to_string(), false)
    }

    fn visitor(&self, principal: Arc<str>, host: &str, is_anonymous: bool) -> Visitor {
        Visitor { access: Access::of(self, principal, host), is_anonymous }
    }
}

impl Visitor {
    pub fn may(&self, operation: Operation, resource: ResourceType, name: &str) -> bool {
        self.access.permits(operation, resource, name)
    }

    pub fn may_on_cluster(&self, operation: Operation) -> bool {
        self.may(operation, ResourceType::Cluster, CLUSTER_NAME)
    }

    pub(crate) fn principal(&self) -> Arc<str> {
        self.access.names().0.clone()
    }

    pub(crate) fn host(&self) -> &str {
        self.access.names().1
    }

    /// A name for answers and logs.
    pub fn shown(&self) -> String {
        shown(self.access.principal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{Acl, PatternType, Permission, RulesChange, acl::Pattern};
    use crate::testing::{Node, given};
    use auth::{Credential, Mechanism, testing::Issuer};
    use serde_json::json;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn with_alice(settings: &[(&str, &str)]) -> Node {
        let node = Node::with(given(settings));
        let credential = Credential::from_password(Mechanism::Sha256, b"salt", 4_096, "secret");
        let pattern =
            Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: "_schemas".into() };
        let rule = Acl {
            pattern,
            principal: "User:alice".into(),
            host: "*".into(),
            operation: Operation::Read,
            permission: Permission::Allow,
        };
        let set = RulesChange::CredentialSet { user: "alice".into(), credential };
        node.broker.change_rules(vec![set, RulesChange::AclsAdded(vec![rule])]).unwrap();
        node
    }

    fn password(user: &str, password: &str) -> Proof {
        Proof::Password(Login { user: user.into(), password: password.into() })
    }

    #[test]
    fn users_come_with_their_password_and_their_rights() {
        let node = with_alice(&[("security.protocol", "SASL_PLAINTEXT")]);
        let alice =
            node.broker.admit(&password("alice", "secret"), HERE).map_err(|error| error.reason).unwrap();
        assert!(!alice.is_anonymous && alice.shown() == "User:alice");
        assert!(alice.may(Operation::Read, ResourceType::Topic, "_schemas"));
        assert!(!alice.may(Operation::Write, ResourceType::Topic, "_schemas"));
        assert!(!alice.may_on_cluster(Operation::Describe));
        let wait = |proof: &Proof| node.broker.admit(proof, HERE).err().map(|error| error.wait_ms);
        assert_eq!(wait(&Proof::Nothing), Some(0));
        // The delays are those of the Kafka port, and grow with it.
        let tries = [(); 3].map(|()| wait(&password("alice", "wrong")));
        assert_eq!(tries, [Some(100), Some(200), Some(400)]);
        assert_eq!(wait(&password("nobody", "x\ny")), Some(100));
        assert_eq!(wait(&password("alice", "secret")), None);
        assert_eq!(wait(&password("alice", "wrong")), Some(100));
        assert_eq!(wait(&Proof::Token("a.b.c".into())), Some(100));
        assert_eq!(wait(&Proof::Certificate("CN=bob".into())), None);
    }

    #[test]
    fn a_token_is_as_good_as_a_password() {
        let issuer = Issuer::p256("k");
        let node = with_alice(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.enabled.mechanisms", "OAUTHBEARER"),
            ("sasl.oauthbearer.jwks.endpoint.url", "https://issuer.example/keys"),
        ]);
        node.broker.tokens().unwrap().replace_keys(issuer.keys());
        let now_s = node.now().wall_ms / 1_000;
        let token = |exp: i64| Proof::Token(issuer.sign(&json!({"sub": "alice", "iat": 0, "exp": exp})));
        let alice = node.broker.admit(&token(now_s + 60), HERE).map_err(|error| error.reason).unwrap();
        assert!(alice.may(Operation::Read, ResourceType::Topic, "_schemas"));
        let expired = node.broker.admit(&token(now_s - 60), HERE).err().unwrap();
        assert!(expired.reason.contains("expired"), "{}", expired.reason);
    }

    #[test]
    fn where_nobody_logs_in_rules_bind_those_who_are_nobody() {
        let open = Node::new();
        for proof in [Proof::Nothing, password("anybody", "x")] {
            let visitor = open.broker.admit(&proof, HERE).map_err(|error| error.reason).unwrap();
            assert!(visitor.is_anonymous && visitor.may_on_cluster(Operation::Alter));
        }
        let node = with_alice(&[]);
        let nobody = node.broker.admit(&Proof::Nothing, HERE).map_err(|error| error.reason).unwrap();
        assert!(nobody.is_anonymous && !nobody.may_on_cluster(Operation::Describe));
        node.broker.admit(&password("alice", "wrong"), HERE).err().unwrap();
        let alice =
            node.broker.admit(&password("alice", "secret"), HERE).map_err(|error| error.reason).unwrap();
        assert!(alice.may(Operation::Read, ResourceType::Topic, "_schemas"));
    }
}
