//! How many connections are let in. The rule: a limit is held by a guard that frees itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use analytics_shared::{Code, Failure};

/// Counts connections, in all and per address.
#[derive(Debug)]
pub(crate) struct Admission {
    max: usize,
    max_per_address: Option<u32>,
    open: AtomicUsize,
    per_address: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection's place; dropped with the connection.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    /// Boxed: addresses are counted only where a limit asks for it, and every connection holds a permit.
    address: Option<Box<IpAddr>>,
}

impl Admission {
    pub(crate) fn new(max: usize, max_per_address: Option<u32>) -> Arc<Admission> {
        Arc::new(Admission { max, max_per_address, open: AtomicUsize::new(0), per_address: Mutex::default() })
    }

    /// Connections that hold a permit.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A permit for one more connection, or why not. An unknown address counts towards the total only.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Failure> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::new(Code::Unavailable, "this edge has no room for another connection"));
        }
        // From here the total is freed by the permit, whatever happens below.
        let mut permit = Permit { admission: self.clone(), address: None };
        if let (Some(max), Some(address)) = (self.max_per_address, address) {
            let mut counts = self.per_address.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(address).or_default();
            if *count >= max {
                drop(counts);
                return Err(Failure::new(Code::RateLimited, "too many connections from this address"));
            }
            *count += 1;
            permit.address = Some(Box::new(address));
        }
        Ok(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = &self.address {
            let mut counts = self.admission.per_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get_mut(address.as_ref()) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(address.as_ref());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_free_themselves() {
        let admission = Admission::new(2, Some(1));
        let (one, two) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([127, 0, 0, 2])));
        let first = admission.admit(one).expect("room");
        assert_eq!(admission.admit(one).map_err(|f| f.code).err(), Some(Code::RateLimited));
        let second = admission.admit(two).expect("room");
        assert_eq!(admission.admit(None).map_err(|f| f.code).err(), Some(Code::Unavailable));
        drop(first);
        assert_eq!(admission.open(), 1);
        let again = admission.admit(one).expect("room again");
        drop((second, again));
        assert_eq!((admission.open(), admission.per_address.lock().expect("sound").len()), (0, 0));
    }
}
