//! Which scope each method needs: one table, checked against the wire's own description by a test.

use super::scope::Scope;

/// What a method needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it tells nothing but that a coordinator is there.
    Nothing,
    /// Any good token.
    Known,
    /// A token with one of these scopes.
    AnyOf(&'static [Scope]),
}

const READ: Need = Need::AnyOf(&[Scope::Read]);
const SUBMIT: Need = Need::AnyOf(&[Scope::Submit]);
const WORK: Need = Need::AnyOf(&[Scope::Work]);
const ADMIN: Need = Need::AnyOf(&[Scope::Admin]);

/// What the method at `path` (`/transect.v1.SweepService/Submit`) needs. None for what is no method of ours.
pub fn needs(path: &str) -> Option<Need> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    Some(match (service, method) {
        ("transect.v1.SweepService", "Submit" | "Cancel" | "Retry" | "Import") => SUBMIT,
        ("transect.v1.SweepService", "Pause" | "Resume" | "Adjust") => SUBMIT,
        ("transect.v1.SweepService", "Plan" | "Get" | "List" | "Watch" | "Results" | "Curves" | "Jobs") => READ,
        ("transect.v1.SweepService", "Explain" | "Checkpoints" | "Workers") => READ,
        ("transect.v1.SweepService", "ReleaseWorker") => ADMIN,
        ("transect.v1.WorkerService", "Register" | "Lease" | "Heartbeat" | "Report" | "Leave" | "Signals") => WORK,
        ("transect.v1.ArtifactService", "Get" | "Stat") => Need::AnyOf(&[Scope::Read, Scope::Work]),
        // Checkpoints are uploaded by workers, and by whoever imports some.
        ("transect.v1.ArtifactService", "Put") => Need::AnyOf(&[Scope::Submit, Scope::Work]),
        ("transect.v1.AdminService", "CreateToken" | "ListTokens" | "RevokeToken") => ADMIN,
        ("grpc.health.v1.Health", _) => Need::Nothing,
        ("grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection", _) => Need::Known,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every method that a coordinator serves: `transect.v1.SweepService/Submit`.
    fn methods() -> Vec<String> {
        let ours = FileDescriptorSet::decode(transect_common::DESCRIPTORS).unwrap();
        let mut methods = Vec::new();
        for file in ours.file.iter().filter(|file| file.package() == "transect.v1") {
            for service in &file.service {
                let of = |method: &str| format!("{}.{}/{method}", file.package(), service.name());
                methods.extend(service.method.iter().map(|method| of(method.name())));
            }
        }
        assert!(methods.len() > 25, "{methods:?}");
        methods
    }

    fn in_words(need: Need) -> String {
        match need {
            Need::Nothing => "nothing".to_owned(),
            Need::Known => "any".to_owned(),
            Need::AnyOf(scopes) => {
                scopes.iter().map(|scope| format!("`{}`", scope.name())).collect::<Vec<_>>().join(" or ")
            }
        }
    }

    #[test]
    fn every_method_has_an_entry_and_what_is_no_method_has_none() {
        for method in methods() {
            assert!(needs(&format!("/{method}")).is_some(), "{method} has no entry in the table");
        }
        for other in [
            "",
            "/",
            "transect.v1.SweepService/Get",
            "/transect.v1.SweepService/",
            "/transect.v1.SweepService/get",
            "/a/b",
        ] {
            assert_eq!(needs(other), None, "{other}");
        }
    }

    #[test]
    fn only_health_needs_nothing() {
        for method in methods() {
            assert!(matches!(needs(&format!("/{method}")), Some(Need::AnyOf(_))), "{method}");
        }
        assert_eq!(needs("/grpc.health.v1.Health/Check"), Some(Need::Nothing));
    }

    #[test]
    fn the_document_says_the_same() {
        let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security.md"));
        let missing = methods().into_iter().filter_map(|method| {
            let (service, name) = method.rsplit_once('/').unwrap();
            let service = service.rsplit_once('.').unwrap().1;
            let row = format!("| `{service}.{name}` | {} |", in_words(needs(&format!("/{method}")).unwrap()));
            (!document.contains(&row)).then_some(row)
        });
        let missing: Vec<_> = missing.collect();
        assert!(missing.is_empty(), "docs/security.md lacks these rows:\n{}", missing.join("\n"));
    }
}
