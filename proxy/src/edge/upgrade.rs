//! From a valid handshake to a hub. The rule: everything that can refuse an upgrade comes before anything is
//! changed, and a refusal is a plain HTTP answer.

use std::net::IpAddr;

use analytics_shared::Failure;
use http::request;
use lambda_trigger::auth;
use pingora::proxy::Session;

use super::{EdgeHandle, Handled, Stage, unavailable};
use crate::admission::Permit;
use crate::events::ConnId;
use crate::hub::{Arrival, Reservation};
use crate::{handshake, takeover};

impl EdgeHandle {
    pub(super) async fn upgrade(
        &self,
        session: &mut Session,
        head: &request::Parts,
        accept_key: &str,
        tag: u64,
    ) -> pingora::Result<Handled> {
        // Also makes Pingora remember the address: `logging()` may ask for it when the descriptor is gone.
        let peer = session.client_addr().and_then(|address| address.as_inet()).copied();
        let client = peer.map(|peer| self.inner.trusted.client(peer.ip(), &head.headers));
        let admitted = self.admit(session, head, client);
        let (grant, permit, place) = match admitted {
            Ok(admitted) => admitted,
            Err(failure) => return self.refuse(session, head, &failure).await,
        };
        let id = ConnId::next();
        match takeover::take(session, self.inner.settings.heartbeat_timeout).await {
            Ok(taken) => place.send(Arrival {
                id,
                socket: taken.socket,
                session: taken.session,
                answer: handshake::answer(accept_key, grant.subprotocol),
                early: taken.early,
                authority: grant.authority,
                expires_at: grant.expires_at,
                permit,
                peer,
                tag,
            }),
            // Nobody is there to be told.
            Err(error) => {
                tracing::debug!(%error, "a connection was lost in its handshake");
                return Ok(Handled::Answered);
            }
        }
        Ok(Handled::TakenOver(id))
    }

    /// Everything that can refuse an upgrade, before anything is changed.
    fn admit(
        &self,
        session: &mut Session,
        head: &request::Parts,
        client: Option<IpAddr>,
    ) -> Result<(auth::Grant, Permit, Reservation), Failure> {
        if self.stage() != Stage::Ready {
            return Err(unavailable("this edge takes no new connections now"));
        }
        self.inner.handler.origins().check(&head.headers)?;
        let grant = self.inner.handler.auth().authorize(&head.headers, head.uri.query())?;
        takeover::check(session)?;
        let permit = self.inner.admission.admit(client)?;
        let emptiest = self.inner.mailboxes.iter().min_by_key(|mailbox| mailbox.load());
        let place =
            emptiest.and_then(|mailbox| mailbox.reserve()).ok_or_else(|| unavailable("too many handshakes at once"))?;
        Ok((grant, permit, place))
    }
}
