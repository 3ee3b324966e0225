//! Host names looked up by hickory, on the loop.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;

use super::Family;
use super::resolver::{Resolver, Resolving, literal};

/// Asks name servers itself, on the loop: no thread waits, however many names are being looked up (feature `hickory`).
///
/// Unlike the system's resolver it keeps answers for as long as the name servers say, and asks both for IPv4 and IPv6 at the
/// same time; IPv6 addresses come first. It reads `/etc/hosts`, but knows nothing of `/etc/nsswitch.conf`: names
/// that come from elsewhere (LDAP, mDNS) it does not find.
///
/// It belongs to the loop on which it is used first. For whatever else hickory can do, such as DNS over TLS, give
/// [`HickoryResolver::from`] a resolver of the crate [`hickory_resolver`].
///
/// ```no_run
/// use squall::httpclient::AsyncHttpClient;
/// use squall::netutil::HickoryResolver;
///
/// # fn client() -> std::io::Result<AsyncHttpClient> {
/// let client = AsyncHttpClient::builder().resolver(HickoryResolver::from_system()?).build();
/// # Ok(client)
/// # }
/// ```
#[derive(Clone)]
pub struct HickoryResolver(TokioResolver);

impl HickoryResolver {
    /// With the name servers and search domains of `/etc/resolv.conf`, read once, here.
    ///
    /// # Errors
    /// When that file cannot be read or is wrong.
    pub fn from_system() -> io::Result<Self> {
        let builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
        Ok(Self(builder.build().map_err(io::Error::other)?))
    }

    /// With these name servers, by UDP, and by TCP for what is too long for that.
    ///
    /// # Errors
    /// None so far; hickory may refuse a configuration.
    pub fn with_name_servers(servers: impl IntoIterator<Item = SocketAddr>) -> io::Result<Self> {
        let server = |address: SocketAddr| {
            let mut ways = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for way in &mut ways {
                way.port = address.port();
            }
            NameServerConfig::new(address.ip(), true, ways)
        };
        let config = ResolverConfig::from_name_servers(servers.into_iter().map(server).collect());
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Ok(Self(builder.build().map_err(io::Error::other)?))
    }

    async fn look_up(&self, host: &str, family: Family) -> Result<Vec<IpAddr>, NetError> {
        let record_type = match family {
            Family::Unspec => return Ok(self.0.lookup_ip(host).await?.iter().collect()),
            Family::Inet => RecordType::A,
            Family::Inet6 => RecordType::AAAA,
        };
        let found = self.0.lookup(host, record_type).await?;
        // Aliases (CNAME) on the way are in the answer too.
        Ok(found.answers().iter().filter_map(|record| record.data.ip_addr()).collect())
    }
}

impl Resolver for HickoryResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16, family: Family) -> Resolving<'a> {
        Box::pin(async move {
            if let Some(found) = literal(host, port, family) {
                return found;
            }
            let mut found: Vec<SocketAddr> = Vec::new();
            for ip in self.look_up(host, family).await.map_err(io_error)? {
                let address = SocketAddr::new(ip, port);
                if !found.contains(&address) {
                    found.push(address);
                }
            }
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
            }
            Ok(found)
        })
    }
}

impl From<TokioResolver> for HickoryResolver {
    fn from(resolver: TokioResolver) -> Self {
        Self(resolver)
    }
}

impl fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryResolver").finish_non_exhaustive()
    }
}

fn io_error(error: NetError) -> io::Error {
    let kind = match &error {
        NetError::Timeout => io::ErrorKind::TimedOut,
        // What is no name has no address either.
        NetError::Proto(_) => io::ErrorKind::NotFound,
        _ if error.is_no_records_found() => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
