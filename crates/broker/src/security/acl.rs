//! Access rules as Kafka has them: their numbers on the wire, and which rule speaks of what.

use std::net::IpAddr;

/// Makes an enum of Kafka's numbers with `number`, `from_number` and `name`.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant = $number,)* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            pub fn number(self) -> i8 {
                self as i8
            }

            pub fn from_number(number: i8) -> Option<$name> {
                $name::ALL.iter().copied().find(|value| value.number() == number)
            }

            /// Its name, as Kafka's tools print it.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

numbered! {
    /// What a rule is about.
    ResourceType {
        Topic = 2 "TOPIC",
        Group = 3 "GROUP",
        Cluster = 4 "CLUSTER",
        TransactionalId = 5 "TRANSACTIONAL_ID",
        DelegationToken = 6 "DELEGATION_TOKEN",
        User = 7 "USER",
    }
}

numbered! {
    /// How a rule's name is meant.
    PatternType {
        Literal = 3 "LITERAL",
        Prefixed = 4 "PREFIXED",
    }
}

numbered! {
    Operation {
        All = 2 "ALL",
        Read = 3 "READ",
        Write = 4 "WRITE",
        Create = 5 "CREATE",
        Delete = 6 "DELETE",
        Alter = 7 "ALTER",
        Describe = 8 "DESCRIBE",
        ClusterAction = 9 "CLUSTER_ACTION",
        DescribeConfigs = 10 "DESCRIBE_CONFIGS",
        AlterConfigs = 11 "ALTER_CONFIGS",
        IdempotentWrite = 12 "IDEMPOTENT_WRITE",
        CreateTokens = 13 "CREATE_TOKENS",
        DescribeTokens = 14 "DESCRIBE_TOKENS",
        TwoPhaseCommit = 15 "TWO_PHASE_COMMIT",
    }
}

numbered! {
    Permission {
        Deny = 2 "DENY",
        Allow = 3 "ALLOW",
    }
}

/// The one resource of its type.
pub const CLUSTER_NAME: &str = "kafka-cluster";
/// A literal pattern that fits every name.
pub const ANY_NAME: &str = "*";
const ANY_PRINCIPAL: &str = "User:*";

impl ResourceType {
    /// The operations that make sense for it; what the authorized-operations fields speak of.
    pub fn operations(self) -> &'static [Operation] {
        use Operation::*;
        match self {
            ResourceType::Topic => {
                &[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs]
            }
            ResourceType::Group => &[Read, Describe, Delete, DescribeConfigs, AlterConfigs],
            ResourceType::Cluster => &[
                Create,
                Alter,
                Describe,
                ClusterAction,
                DescribeConfigs,
                AlterConfigs,
                IdempotentWrite,
                CreateTokens,
                DescribeTokens,
            ],
            ResourceType::TransactionalId => &[Write, Describe, TwoPhaseCommit],
            ResourceType::DelegationToken => &[Describe],
            ResourceType::User => &[CreateTokens, DescribeTokens],
        }
    }
}

impl Operation {
    /// Whether a rule that allows `self` allows `asked` too. A denial implies nothing further.
    pub fn implies(self, asked: Operation) -> bool {
        use Operation::*;
        match asked {
            Describe => matches!(self, Describe | Read | Write | Delete | Alter),
            DescribeConfigs => matches!(self, DescribeConfigs | AlterConfigs),
            other => self == other,
        }
    }
}

/// Which names a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    pub resource: ResourceType,
    pub kind: PatternType,
    pub name: String,
}

impl Pattern {
    pub fn fits(&self, resource: ResourceType, name: &str) -> bool {
        self.resource == resource
            && match self.kind {
                PatternType::Literal => self.name == name || self.name == ANY_NAME,
                PatternType::Prefixed => name.starts_with(&self.name),
            }
    }
}

/// The one spelling in which hosts are compared; `None` for what is neither an address nor `*`.
pub fn canonical_host(host: &str) -> Option<String> {
    match host {
        ANY_NAME => Some(host.to_string()),
        _ => host.parse::<IpAddr>().ok().map(|address| address.to_canonical().to_string()),
    }
}

/// One access rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    pub pattern: Pattern,
    /// `User:NAME`, or `User:*` for everybody.
    pub principal: String,
    /// The client's address, or `*`.
    pub host: String,
    pub operation: Operation,
    pub permission: Permission,
}

impl Acl {
    /// Whether the rule speaks of this client and this operation.
    pub fn speaks_of(&self, principal: &str, host: &str, operation: Operation) -> bool {
        (self.principal == principal || self.principal == ANY_PRINCIPAL)
            && (self.host == host || self.host == ANY_NAME)
            && (self.operation == Operation::All
                || match self.permission {
                    Permission::Allow => self.operation.implies(operation),
                    Permission::Deny => self.operation == operation,
                })
    }
}

/// Which rules are listed or deleted; `None` fits everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclFilter {
    pub resource: Option<ResourceType>,
    pub name: Option<String>,
    pub kind: PatternFilter,
    pub principal: Option<String>,
    pub host: Option<String>,
    pub operation: Option<Operation>,
    pub permission: Option<Permission>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternFilter {
    Any,
    /// Every rule that speaks of a resource with the given name.
    Match,
    Exactly(PatternType),
}

const ANY: i8 = 1;
const MATCH: i8 = 2;

impl AclFilter {
    /// All rules that name a principal.
    pub fn of_principal(principal: String) -> AclFilter {
        AclFilter {
            resource: None,
            name: None,
            kind: PatternFilter::Any,
            principal: Some(principal),
            host: None,
            operation: None,
            permission: None,
        }
    }

    /// From the numbers of a request; `None` if one of them is not known.
    pub fn from_wire(
        resource: i8,
        name: Option<String>,
        kind: i8,
        principal: Option<String>,
        host: Option<String>,
        operation: i8,
        permission: i8,
    ) -> Option<AclFilter> {
        fn any_or<T>(number: i8, known: impl Fn(i8) -> Option<T>) -> Option<Option<T>> {
            if number == ANY { Some(None) } else { known(number).map(Some) }
        }
        Some(AclFilter {
            resource: any_or(resource, ResourceType::from_number)?,
            name,
            kind: match kind {
                ANY => PatternFilter::Any,
                MATCH => PatternFilter::Match,
                exact => PatternFilter::Exactly(PatternType::from_number(exact)?),
            },
            principal,
            // Another text is kept, and fits nothing.
            host: host.map(|host| canonical_host(&host).unwrap_or(host)),
            operation: any_or(operation, Operation::from_number)?,
            permission: any_or(permission, Permission::from_number)?,
        })
    }

    pub fn fits(&self, acl: &Acl) -> bool {
        fn same<T: PartialEq>(wanted: &Option<T>, is: &T) -> bool {
            wanted.as_ref().is_none_or(|wanted| wanted == is)
        }
        let pattern = &acl.pattern;
        let kind_fits = match self.kind {
            PatternFilter::Any | PatternFilter::Match => true,
            PatternFilter::Exactly(kind) => kind == pattern.kind,
        };
        let name_fits = match (&self.name, self.kind) {
            (None, _) => true,
            (Some(name), PatternFilter::Match) => pattern.fits(pattern.resource, name),
            (Some(name), _) => *name == pattern.name,
        };
        kind_fits
            && name_fits
            && same(&self.resource, &pattern.resource)
            && same(&self.principal, &acl.principal)
            && same(&self.host, &acl.host)
            && same(&self.operation, &acl.operation)
            && same(&self.permission, &acl.permission)
    }
}
