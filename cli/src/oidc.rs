//! Settings of sign-in by an identity provider.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use subak_server::auth::OidcConfig;
use url::Url;

use crate::users::RoleName;

/// Sign-in by an identity provider: OpenID Connect, authorization code with PKCE.
#[derive(Clone, Args)]
pub(crate) struct Oidc {
    /// Issuer of an identity provider by which people may sign in, too.
    #[arg(long, env = "SUBAK_OIDC_ISSUER", value_name = "URL",
        requires_all = ["oidc_client_id", "url"])]
    oidc_issuer: Option<Url>,
    /// Subak's client id at the provider; its redirect URL is `<url>/sign-in/oidc/callback`.
    #[arg(long, env = "SUBAK_OIDC_CLIENT_ID", value_name = "ID")]
    oidc_client_id: Option<String>,
    /// File with the client's secret; left out: `SUBAK_OIDC_CLIENT_SECRET`.
    #[arg(long, env = "SUBAK_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")]
    oidc_client_secret_file: Option<PathBuf>,
    #[arg(skip = std::env::var("SUBAK_OIDC_CLIENT_SECRET").ok())]
    oidc_client_secret: Option<String>,
    /// What people may do whom the provider names for the first time.
    #[arg(long, env = "SUBAK_OIDC_ROLE", value_enum, default_value = "none", value_name = "ROLE")]
    oidc_role: RoleName,
    /// Where browsers reach Subak.
    #[arg(long, env = "SUBAK_URL", value_name = "URL")]
    url: Option<Url>,
}

impl Oidc {
    /// Returns the settings, if a provider is named.
    pub(crate) fn config(self) -> anyhow::Result<Option<OidcConfig>> {
        let (Some(issuer), Some(client_id), Some(own_url)) =
            (self.oidc_issuer, self.oidc_client_id, self.url)
        else {
            return Ok(None);
        };
        let secret = match &self.oidc_client_secret_file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("reading `{}`", file.display()))?,
            None => self.oidc_client_secret.context(
                "no secret for the identity provider: name its file with \
                 SUBAK_OIDC_CLIENT_SECRET_FILE",
            )?,
        };
        let client_secret = SecretString::from(secret.trim().to_owned());
        let role = self.oidc_role.into();
        Ok(Some(OidcConfig { issuer, client_id, client_secret, own_url, role }))
    }
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oidc").field("oidc_issuer", &self.oidc_issuer).finish_non_exhaustive()
    }
}
