//! Policies: what `AuthorizationPolicy` and `PeerAuthentication` objects mean to nodes.
//!
//! Goes in: one object at a time, as the API server writes it. Comes out: the policies nodes judge by, which workloads these are for,
//! and what the status of the object says. Deliberately absent: which objects and workloads there are, and how many; the index knows.
//!
//! **Invariant:** an object is enforced as it is written, or not at all. Whatever is not understood in it is a [`Problem`] with its path,
//! and any problem closes the object as a whole: an `AuthorizationPolicy` then denies all that it governs, a `PeerAuthentication`
//! refuses plaintext to all that it governs. A dry run stays one. **Invariant:** what an object governs is never less than it would be
//! had it been understood: a selector nobody can read stands for the whole namespace, or the mesh when it is in the root namespace.
//!
//! # How they are put to use
//!
//! An `AuthorizationPolicy` is published as [`AuthorizationPolicy::policy`], and a workload that its [`Reach`] selects refers to its key;
//! for any other reach nodes know themselves. Of the `PeerAuthentication` objects that govern a workload [`Levels::of`] takes those that
//! decide, and the workload refers to [`Levels::key`]. Published are [`strict`] as soon as there is any such object, and for each of the
//! level of workloads [`Levels::policy`] with the levels of its namespace. A key nobody has published denies, so policies go first.
//!
//! # What the ways to write nothing mean
//!
//! "Let through" is what the API server does with the schema of the usual definitions, which has no lower bounds on lists. A field that
//! is `null` it removes before it looks; here it is absent, too. Where two readings are possible, the one is taken that lets nobody in.
//!
//! | `AuthorizationPolicy`                            | let through | here |
//! |--------------------------------------------------|-------------|------|
//! | no `spec`, `spec: {}`                            | yes | ALLOW without rules: nobody gets in |
//! | ALLOW, `rules` absent or `[]`                    | yes | nobody gets in |
//! | DENY, `rules` absent or `[]`                     | yes | a problem: it would deny nobody, which nobody writes down |
//! | `rules: [{}]`                                    | yes | the rule matches everybody |
//! | `rules: [null]`                                  | no  | a problem |
//! | `from: []`, `to: []`, `when: []`                 | yes | a problem: nobody, or everybody? |
//! | `from: [{}]`, `to: [{}]`                         | yes | a problem |
//! | `source: {}`, `operation: {}`                    | yes | a problem |
//! | `principals: []` and every other list of values  | yes | a problem, also beside values that are there |
//! | `principals: [""]`, `ports: [""]`                | yes | a problem |
//! | `when: [{}]`, `when` without `key`               | no  | a problem |
//! | `when` with neither `values` nor `notValues`     | yes | a problem |
//! | `values: []`, alone or beside `notValues`        | yes | a problem |
//! | no `selector`, `selector: {}`, `matchLabels: {}` | yes | the whole namespace; in the root namespace the mesh |
//! | `selector` with anything but `matchLabels`       | removed | a problem; the whole namespace is denied |
//! | a label nothing can have, such as `app: "*"`     | no  | the same |
//! | `targetRefs: []`, or one without kind or name    | yes, no | a problem; the whole namespace is denied |
//! | `targetRefs` beside a selector that selects      | no  | a problem |
//! | `action: ""`                                     | no  | a problem |
//!
//! | `PeerAuthentication`                             | let through | here |
//! |--------------------------------------------------|-------------|------|
//! | no `spec`, `mtls: {}`, mode `UNSET`              | yes | what is said above; nothing said anywhere is PERMISSIVE |
//! | `DISABLE`                                        | yes | PERMISSIVE: a node cannot keep others from using a tunnel |
//! | `portLevelMtls: {}`                              | no  | no exceptions |
//! | `portLevelMtls: {"80": {}}`                      | yes | what is said for the workload |
//! | `portLevelMtls: {"80": null}`                    | no  | a problem |
//! | `portLevelMtls` without a selector               | no  | a problem |
//! | a selector in the root namespace                 | yes | a problem: what it selects there is strict |
//!
//! # What peers are compared with
//!
//! Texts are compared as they are; `*` is any but the empty one, and at one end stands for the rest. `not` lists without the positive one
//! are satisfied by who has no identity: `notNamespaces` in an ALLOW lets plaintext in, and the status says so. In a DENY that is what
//! makes `notPrincipals: ["*"]` refuse plaintext. `cluster.local` is not another name of the trust domain. What no peer can be
//! (`spiffe://...`, a namespace with a `/`, port 0) is a problem, as it would make a DENY look as if it protected something.
//!
//! # What an admission policy refuses
//!
//! It has to refuse what would be a problem here, and nothing else, so that whatever is admitted is enforced. `kubectl apply` then
//! says what otherwise only the status says. These rules are for objects after the API server has removed what is not in the schema
//! (unknown fields are reported by `--validate=strict` alone, and that is the one thing the two cannot agree about).
//!
//! `AuthorizationPolicy`; with `targetRef` or `targetRefs` only A1 to A3 hold:
//!
//! | rule | |
//! |------|--|
//! | A1  | `targetRefs`, if there, has an item; each one and `targetRef` has a `kind` and a `name` that are not empty |
//! | A2  | beside them, no `selector.matchLabels` with a label |
//! | A3  | `selector.matchLabels`: keys read `([a-z0-9.-]+/)?` and a name, values are empty or a name; a name reads `[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?` |
//! | A4  | `action` is absent, ALLOW or DENY (AUDIT is admitted with a warning: it does nothing); no `provider` |
//! | A5  | DENY has a rule |
//! | A6  | `from`, `to`, `when` and every list of values, if there, have an item |
//! | A7  | each item of `from` has a `source`, and that has a field; each item of `to` has an `operation`, and that has a field |
//! | A8  | no `requestPrincipals`, `notRequestPrincipals`, `remoteIpBlocks`, `notRemoteIpBlocks`, `hosts`, `notHosts`, `methods`, `notMethods`, `paths`, `notPaths` |
//! | A9  | `when` has a `key`, one of `source.ip`, `source.namespace`, `source.principal`, `destination.ip`, `destination.port`, and `values` or `notValues` |
//! | A10 | principals, and the values of `source.principal`: `*`; or `[A-Za-z0-9._/-]+` with a `*` before or after it; or `[A-Za-z0-9._-]+/ns/[A-Za-z0-9._-]+/sa/[A-Za-z0-9._-]+` |
//! | A11 | namespaces, and the values of `source.namespace`: `*`, or `[a-z0-9-]+` with at most one `*`, before or after it |
//! | A12 | service accounts: `([a-z0-9-]+/)?[a-z0-9.-]+` |
//! | A13 | `ipBlocks` and values of `source.ip` and `destination.ip`: an address or a block of either family (`isIP(x) \|\| isCIDR(x)`, which leaves out IPv4-mapped ones) |
//! | A14 | ports and the values of `destination.port`: `[1-9][0-9]{0,4}`, at most 65535 |
//! | A15 | the annotation `istio.io/dry-run`, if there, is one of true, True, TRUE, t, T, 1, false, False, FALSE, f, F, 0 |
//!
//! `PeerAuthentication`:
//!
//! | rule | |
//! |------|--|
//! | P1 | `selector.matchLabels` as in A3 |
//! | P2 | in the root namespace no `selector.matchLabels` with a label |
//! | P3 | `mtls.mode` and each `mode` of `portLevelMtls`, if there, is UNSET, DISABLE, PERMISSIVE or STRICT |
//! | P4 | keys of `portLevelMtls` as in A14 |
//! | P5 | `portLevelMtls` only beside `selector.matchLabels` with a label |

pub use authentication::{Level, Levels, PeerAuthentication, Strictness, strict};
pub use authorization::AuthorizationPolicy;
pub use problem::{Fault, Problem};
pub use reach::Reach;
pub use status::{ACCEPTED, ENFORCED, Governed};

mod authentication;
mod authorization;
mod head;
mod place;
mod problem;
mod reach;
mod status;

#[cfg(test)]
mod tests;
