//! What is wrong with a connection, as data: it is told in English here, and by a page in its own language.

/// What is wrong with a connection. Its words never hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionProblem {
    #[error("there is no connection type `{found}`: it is one of {known}")]
    Type { found: String, known: String },
    #[error("it is of type `{found}`, but a `{needed}` one is needed")]
    OtherType { found: String, needed: &'static str },
    #[error(
        "it has other fields than conn_type, host, port, login, password, schema and extra, or one of \
         another type"
    )]
    Fields,

    // Of settings, which stand in `extra`.
    #[error("extra `{setting}` is not known: there are {known}")]
    Unknown { setting: String, known: String },
    #[error("extra `{setting}` is not known: it is `{meant}`")]
    Misspelt { setting: String, meant: &'static str },
    #[error("extra `{setting}` cannot be `{value}`: it is one of {allowed}")]
    NotOneOf { setting: String, value: String, allowed: String },
    #[error("extra `{setting}` cannot be `{value}`: it is a whole number of seconds")]
    NoSeconds { setting: String, value: String },
    #[error("extra `{0}` must be text")]
    NoText(String),
    #[error("extra `{0}` must be text or a number")]
    NoTextOrNumber(String),
    #[error("extra `{0}` must be text, a number, true or false")]
    NoScalar(String),
    #[error("extra `{0}` is empty")]
    Empty(String),

    // Of web servers, and of addresses that are told of ends.
    #[error("the protocol `{0}` is neither http nor https")]
    Protocol(String),
    #[error("`host` is missing: name the base address, such as https://api.example.org/v1")]
    NoBase,
    #[error("`host` holds a user or a secret: they stand in `login` and `password`")]
    SecretInHost,
    #[error("`host` is a base address: no query, no fragment, no space")]
    MoreThanBase,
    #[error("the port stands in `host` and in `port`: leave one out")]
    TwoPorts,
    #[error("extra `test_path` is a path below the base address")]
    TestPath,
    #[error("the `password` that the header carries is missing")]
    NoHeaderPassword,
    #[error("with extra `header` there is no `login`: the header carries the password")]
    LoginBesideHeader,
    #[error("a `login` holds no colon")]
    Colon,
    #[error("`{0}` is no name of a header, such as X-Api-Key")]
    HeaderName(String),
    #[error(
        "the value of header `{0}` holds what no header may: a line break, or letters beyond ASCII"
    )]
    HeaderValue(String),
    #[error("extra `headers` is a map")]
    Headers,
    #[error("a header in extra `headers` is one line of text")]
    HeaderLine,
    #[error("a header's name in extra `headers` is letters, digits, - and _")]
    HeaderLetters,
    #[error("a connection of type slack needs the webhook's whole address as its password")]
    SlackAddress,
    #[error("a connection of type webhook needs a whole address as its host: https://…")]
    WebhookAddress,

    // Of mail servers.
    #[error("a connection of type smtp needs a host")]
    MailHost,
    #[error("a connection of type smtp needs extra `from`: the address that mails come from")]
    MailFrom,
    #[error("extra `tls` is one of starttls, implicit, none")]
    MailTls,

    // Of brokers.
    #[error("a kafka connection has no database (`schema`): leave it out")]
    NoDatabase,
    #[error(
        "`host` is missing: name one broker as host or host:port, or several with commas between"
    )]
    NoBroker,
    #[error("`{0}` is not `host:port`")]
    Broker(String),
    #[error("extra `{0}` is no property of librdkafka: they are such as `socket.timeout.ms`")]
    NoProperty(String),
    #[error("extra `{0}`: the brokers stand in `host`")]
    BrokersInExtra(String),
    #[error("extra `{0}`: user and password stand in `login` and `password`")]
    SecretInExtra(String),
    #[error("extra `{0}` is set by Subak, which loads exactly once by it")]
    Ours(String),
    #[error("extra `{0}` would load a library into the worker")]
    Code(String),
    #[error("SASL needs a `login` and a `password`")]
    NoLogin,
    #[error("a `login` is for SASL, but security.protocol is {0}")]
    LoginWithoutSasl(&'static str),
    #[error("the `password` of the login is missing")]
    NoPassword,

    // Of databases.
    #[error(
        "`host` is a server's name or the folder of a socket: user, password, port and database stand \
         in fields of their own"
    )]
    ServerAlone,
}

impl ConnectionProblem {
    /// The field of the connection that it is about.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Type { .. } | Self::OtherType { .. } | Self::Fields => "conn_type",
            Self::Protocol(_)
            | Self::NoBase
            | Self::SecretInHost
            | Self::MoreThanBase
            | Self::WebhookAddress
            | Self::MailHost
            | Self::NoBroker
            | Self::Broker(_)
            | Self::ServerAlone => "host",
            Self::TwoPorts => "port",
            Self::NoHeaderPassword | Self::SlackAddress | Self::NoPassword => "password",
            Self::LoginBesideHeader | Self::Colon | Self::NoLogin | Self::LoginWithoutSasl(_) => {
                "login"
            }
            Self::NoDatabase => "schema",
            _ => "extra",
        }
    }
}
