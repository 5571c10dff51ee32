//! Debian's packages: resolved once by apt with an empty status, then remembered, downloaded and unpacked without root.
//!
//! The resolution (name, version, address, SHA-256 of every package) is kept in the cache as `packages-DIGEST.json`, with
//! the digest of what was asked for, and used until somebody asks for a new one: an image does not change because the
//! mirror did, and two versions of this program can share a cache. apt runs with the host's sources, keyrings and
//! proxies, and with folders of our own for everything it writes; its hooks are left out, since some tidy up the host's
//! own cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::manifest::{Package, hexadecimal, sha256_of_file};
use super::tools::{APT_CONFIG, APT_GET, APT_HELPER, DPKG, run};
use super::{ImageError, Progress};
use crate::interrupt::Interrupt;

/// The real programs; what they depend on comes with them.
const PROGRAMS: [&str; 15] = [
    "bzip2",
    "coreutils",
    "cpp-12",
    "graphicsmagick",
    "gzip",
    "lp-solve",
    "minimap2",
    "perl",
    "povray",
    "python3.11-minimal",
    "sqlite3",
    "stockfish",
    "xz-utils",
    "z3",
    "libjbig0",
];

/// Packages without what they depend on. x264 wants 100 more, 60 MB, to read formats that none of its inputs has;
/// [`super::tree`] puts something in the place of the five libraries it names.
const ALONE: [&str; 2] = ["libx264-164", "x264"];

/// The kernel's meta package, which names the current one.
const KERNEL: &str = "linux-image-cloud-amd64";

/// Names of remembered resolutions begin like this.
const REMEMBERED: &str = "packages-";

/// A resolution: what to unpack for which purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolution {
    /// What was asked for.
    requested: Vec<String>,
    /// The package with kernel and modules.
    pub(super) kernel: Package,
    /// The programs and all they depend on.
    pub(super) programs: Vec<Package>,
}

impl Resolution {
    /// The remembered resolution, or a new one if there is none for these requests or `refresh` asks for it.
    pub(super) fn of_cache(cache: &Path, progress: &mut Progress<'_>) -> Result<Self, ImageError> {
        if let Some(kept) = Self::kept(cache) {
            return Ok(kept);
        }
        let path = remembered(cache);
        progress("resolve Debian packages");
        let resolution = Apt::in_cache(cache, Sources::OfHost)?.resolve()?;
        let text =
            serde_json::to_vec_pretty(&resolution).map_err(|error| ImageError::step("describe packages", error))?;
        write_whole(&path, &text)?;
        Ok(resolution)
    }

    /// The remembered resolution, if it is of these requests.
    pub(super) fn kept(cache: &Path) -> Option<Self> {
        let resolution: Self = serde_json::from_slice(&std::fs::read(remembered(cache)).ok()?).ok()?;
        (resolution.requested == requested()).then_some(resolution)
    }

    /// Forgets the remembered resolution.
    pub(super) fn forget(cache: &Path) -> Result<(), ImageError> {
        let path = remembered(cache);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ImageError::step(format!("remove {}", path.display()), error))
            }
            _ => Ok(()),
        }
    }

    /// Kernel and programs.
    pub(super) fn all(&self) -> impl Iterator<Item = &Package> {
        std::iter::once(&self.kernel).chain(&self.programs)
    }
}

/// Downloads what is not there yet, into `cache/debs`.
pub(crate) fn download<'a>(
    cache: &Path,
    packages: impl Iterator<Item = &'a Package>,
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<(), ImageError> {
    let missing: Vec<&Package> = packages.filter(|package| !is_whole(&deb(cache, package), package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let apt = Apt::in_cache(cache, Sources::OfHost)?;
    for (index, package) in missing.iter().enumerate() {
        interrupt.check()?;
        progress(&format!("download {} {} ({} of {})", package.name, package.version, index + 1, missing.len()));
        let target = deb(cache, package);
        let action = format!("download {}", package.uri);
        let mut command = APT_HELPER.command()?;
        command.arg("download-file").arg(&package.uri).arg(&target).arg(format!("SHA256:{}", package.sha256));
        run(apt.configured(&mut command), &action).map_err(|error| {
            let remedy = "is the network there? If the mirror dropped this version of an image's package, run: \
                          phasecast image build --refresh";
            ImageError::step(action.clone(), format!("{error}; {remedy}"))
        })?;
        if !is_whole(&target, package) {
            return Err(ImageError::step(action, "what arrived has another SHA-256; run it again"));
        }
    }
    Ok(())
}

/// Unpacks a package into `tree`.
pub(crate) fn unpack(cache: &Path, package: &Package, tree: &Path) -> Result<(), ImageError> {
    let mut command = DPKG.command()?;
    command.arg("-x").arg(deb(cache, package)).arg(tree);
    run(&mut command, &format!("unpack {} {}", package.name, package.version)).map(drop)
}

fn requested() -> Vec<String> {
    std::iter::once(KERNEL).chain(PROGRAMS).chain(ALONE).map(str::to_owned).collect()
}

/// Where the resolution of these requests is remembered.
fn remembered(cache: &Path) -> PathBuf {
    let digest = hexadecimal(&Sha256::digest(requested().join(" ")));
    cache.join(format!("{REMEMBERED}{}.json", &digest[..8]))
}

fn deb(cache: &Path, package: &Package) -> PathBuf {
    cache.join("debs").join(format!("{}-{}.deb", package.name, &package.sha256[..16]))
}

fn is_whole(path: &Path, package: &Package) -> bool {
    path.is_file() && sha256_of_file(path).is_ok_and(|sha256| sha256 == package.sha256)
}

/// Writes a file so that it is either whole or not there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let failed = |error: std::io::Error| ImageError::step(format!("write {}", path.display()), error);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    std::io::Write::write_all(&mut file, bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Where apt looks for packages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sources<'a> {
    /// Where the host's apt looks: Debian 12's archive.
    OfHost,
    /// Elsewhere: the lines of a sources.list, and a name for the folder that remembers what is there.
    Listed { name: &'a str, lines: &'a str },
}

/// What apt would install from `sources`, if it had to install `names` of `release` on an empty system.
pub(crate) fn closure(
    cache: &Path,
    sources: Sources<'_>,
    release: &str,
    names: &[&str],
) -> Result<Vec<Package>, ImageError> {
    let apt = Apt::in_cache(cache, sources)?;
    run(apt.configured(APT_GET.command()?.args(["-qq", "update"])), "update the lists of packages")?;
    apt.print_uris("install", &[&["-t", release], names].concat())
}

/// apt with its own folders.
struct Apt {
    configuration: PathBuf,
}

impl Apt {
    fn in_cache(cache: &Path, sources: Sources<'_>) -> Result<Self, ImageError> {
        let apt = match sources {
            Sources::OfHost => cache.join("apt"),
            Sources::Listed { name, .. } => cache.join(format!("apt-{name}")),
        };
        let failed = |error: std::io::Error| ImageError::step(format!("create {}", apt.display()), error);
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(apt.join(folder)).map_err(failed)?;
        }
        std::fs::create_dir_all(cache.join("debs")).map_err(failed)?;
        std::fs::write(apt.join("status"), "").map_err(failed)?;
        let configuration = apt.join("apt.conf");
        let mut settings = format!("{}{}", own_settings(&apt), host_settings()?);
        if let Sources::Listed { lines, .. } = sources {
            let list = apt.join("sources.list");
            write_whole(&list, lines.as_bytes())?;
            let list = list.display();
            settings += &format!("Dir::Etc::SourceList \"{list}\";\nDir::Etc::SourceParts \"/dev/null\";\n");
        }
        write_whole(&configuration, settings.as_bytes())?;
        Ok(Self { configuration })
    }

    fn configured<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("APT_CONFIG", &self.configuration)
    }

    fn resolve(&self) -> Result<Resolution, ImageError> {
        // A source that does not answer is no reason to stop: what matters is whether the packages are found.
        let updated = run(self.configured(APT_GET.command()?.args(["-qq", "update"])), "update the lists of packages");
        let resolved = self.print_uris("install", &["bzip2"]);
        if let (Err(_), Err(error)) = (&resolved, updated) {
            return Err(error);
        }
        let kernels = self.print_uris("install", &[KERNEL])?;
        let is_kernel = |package: &&Package| package.name.starts_with("linux-image-") && package.name != KERNEL;
        let kernel = kernels.iter().find(is_kernel).cloned().ok_or_else(|| {
            ImageError::step(format!("resolve {KERNEL}"), "it names no kernel; Debian 12's sources are needed")
        })?;
        let mut programs = self.print_uris("install", &PROGRAMS)?;
        programs.extend(self.print_uris("download", &ALONE)?);
        Ok(Resolution { requested: requested(), kernel, programs })
    }

    /// Asks apt what it would download to install `names` on an empty system, or, for "download", to have them alone.
    fn print_uris(&self, verb: &str, names: &[&str]) -> Result<Vec<Package>, ImageError> {
        let action = format!("resolve {}", names.join(", "));
        let mut command = APT_GET.command()?;
        command.args(["-qq", "-y", "--print-uris", verb]).args(names);
        let printed = run(self.configured(&mut command), &action)
            .map_err(|error| ImageError::step(action.clone(), format!("{error}; Debian 12's sources are needed")))?;
        let packages: Option<Vec<Package>> = printed.lines().map(package_of_line).collect();
        packages
            .filter(|packages| !packages.is_empty())
            .ok_or_else(|| ImageError::step(action, "apt-get printed no list of addresses with SHA-256"))
    }
}

/// Reads `'http://.../x_1%3a2_amd64.deb' x_1%3a2_amd64.deb 123 SHA256:...`.
fn package_of_line(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace();
    let uri = words.next()?.trim_matches('\'');
    let mut parts = words.next()?.split('_');
    let (name, version) = (parts.next()?, parts.next()?);
    let sha256 = words.nth(1)?.strip_prefix("SHA256:")?;
    if sha256.len() != 64 {
        return None;
    }
    let version = version.replace("%3a", ":");
    Some(Package { name: name.to_owned(), version, uri: uri.to_owned(), sha256: sha256.to_owned() })
}

fn own_settings(apt: &Path) -> String {
    let apt = apt.display();
    format!(
        r#"Dir::Etc::Parts "/dev/null";
Dir::Etc::Main "/dev/null";
Dir::State "{apt}/state";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Debug::NoLocking "1";
APT::Sandbox::User "";
APT::Install-Recommends "0";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
Acquire::Languages "none";
Acquire::ForceHash "SHA256";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "0";
Acquire::IndexTargets::deb::CNF::DefaultEnabled "0";
"#
    )
}

/// The host's settings that say how to reach its mirrors: proxies and certificates.
fn host_settings() -> Result<String, ImageError> {
    let dump = run(APT_CONFIG.command()?.arg("dump"), "read apt's settings")?;
    let lines = dump.lines().filter(|line| line.starts_with("Acquire::http") && !line.contains(r#" "";"#));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_apt_names_a_package_with_its_epoch() {
        let sha256 = "0123456789abcdef".repeat(4);
        let line =
            format!("'http://m/pool/p_3.7-2%2bb2_amd64.deb' povray_1%3a3.7-2+b2_amd64.deb 1345528 SHA256:{sha256}");
        let package = package_of_line(&line).expect("a package");
        assert_eq!((package.name.as_str(), package.version.as_str()), ("povray", "1:3.7-2+b2"));
        assert_eq!(package.uri, "http://m/pool/p_3.7-2%2bb2_amd64.deb");
        assert_eq!(package.sha256, sha256);
    }

    #[test]
    fn a_line_without_sha256_names_nothing() {
        assert_eq!(package_of_line("'http://m/p.deb' p_1_all.deb 12 MD5Sum:00"), None);
    }
}
