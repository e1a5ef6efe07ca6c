"""`python -m bundle build|sign|verify|show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bundle.errors import printable
from bundle.opened import Bundle
from common.cli import run
from common.errors import ConfigError

app = typer.Typer(
    name="bundle", help="Build, sign, verify and show model bundles.", no_args_is_help=True,
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip

BundleDir = Annotated[Path, typer.Argument(metavar="DIR", help="bundles/<name>/<version>")]


@app.command()
def build(
    config: Annotated[
        Path | None, typer.Option(help="YAML file with the settings below; options win over it")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Hugging Face folder with safetensors weights")] = None,
    name: Annotated[str | None, typer.Option(help="model id under which servers list it")] = None,
    version: Annotated[str | None, typer.Option(help="version, for example 1.0.0")] = None,
    output: Annotated[Path | None, typer.Option(help="root folder of the bundles [bundles]")] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run", help="runs/<name>: config.json, result.json")
    ] = None,
    git_commit: Annotated[str | None, typer.Option(help="commit that trained it, if --run has none")] = None,
    data_card: Annotated[Path | None, typer.Option(help="card.json of the data set")] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="JSON list of metric, value, n, ci_low, ci_high")
    ] = None,
    gates: Annotated[Path | None, typer.Option(help="JSON list of name, passed, detail")] = None,
    prompts: Annotated[Path | None, typer.Option(help="golden prompts: JSONL, or one prompt a line")] = None,
    golden_count: Annotated[int | None, typer.Option(help="how many golden prompts [16]")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="longest golden answer, tokens [64]")] = None,
    base_model: Annotated[str | None, typer.Option(help="what it was fine-tuned from")] = None,
    licence: Annotated[str | None, typer.Option(help="licence of the weights, SPDX [Apache-2.0]")] = None,
    intended_use: Annotated[str | None, typer.Option(help="sentence for the model card")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="replace this version if it is there")] = False,
) -> None:
    """Build an unsigned bundle and print its folder and digest."""
    from common.config import read_yaml

    options: dict[str, Any] = {
        "model": model, "name": name, "version": version, "output": output, "run": run_dir,
        "git_commit": git_commit,
        "data_card": data_card, "evaluation": evaluation, "gates": gates, "prompts": prompts,
        "golden_count": golden_count, "max_new_tokens": max_new_tokens, "base_model": base_model,
        "licence": licence, "intended_use": intended_use, "replace": replace or None,
    }  # fmt: skip
    values = {} if config is None else read_yaml(config)
    values |= {key: value for key, value in options.items() if value is not None}
    from bundle.build import BuildRequest, build_bundle

    folder = build_bundle(BuildRequest.from_dict(values, str(config or "options")))
    print(f"built {folder}\ndigest {Bundle.open(folder).digest}")


@app.command()
def sign(
    folder: BundleDir,
    private_key: Annotated[
        Path | None,
        typer.Option(help="private key (PEM) [keys/signing.key, made on first use; TRIVIUM_KEYS moves it]"),
    ] = None,
    identity: Annotated[
        bool, typer.Option("--identity", help="sign by identity with sigstore (network)")
    ] = False,
    identity_token: Annotated[
        str | None, typer.Option(envvar="SIGSTORE_ID_TOKEN", help="OIDC token for --identity")
    ] = None,
    staging: Annotated[bool, typer.Option("--staging", help="sigstore's test service")] = False,
) -> None:
    """Sign every file of a bundle and the manifest."""
    from bundle import signing

    if identity:
        signing.sign_keyless(folder, identity_token, staging=staging)
        print(f"signed {folder} by identity")
    else:
        print(f"signed {folder}\nkey {signing.sign(folder, private_key)}")


@app.command()
def verify(
    folder: BundleDir,
    public_key: Annotated[Path | None, typer.Option(help="public key (PEM) [keys/signing.pub]")] = None,
    identity: Annotated[
        str | None, typer.Option(help="expected e-mail or workload, for keyless signatures")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="OIDC issuer of --identity")] = None,
    staging: Annotated[bool, typer.Option("--staging", help="sigstore's test service")] = False,
) -> None:
    """Check files, manifest and signature; exit code 2 and one line where something is wrong."""
    from bundle.verify import verify as check
    from bundle.verify import verify_identity

    if (identity is None) != (issuer is None):
        raise ConfigError("--identity and --issuer go together")
    if identity and issuer:
        bundle = verify_identity(folder, identity, issuer, staging=staging)
    else:
        bundle = check(folder, public_key)
    print(
        f"ok {folder}\ndigest {bundle.digest}\nfiles {len(bundle.manifest.files)}\nsigned by {bundle.signer}"
    )


@app.command()
def show(
    folder: BundleDir,
    as_json: Annotated[bool, typer.Option("--json", help="the manifest as JSON")] = False,
) -> None:
    """Print what a bundle says about itself (not verified)."""
    bundle = Bundle.open(folder)
    if as_json:
        print(bundle.manifest.to_bytes().decode(), end="")
        return
    manifest = bundle.manifest
    signed = "yes (not checked here)" if (folder / "signature.json").is_file() else "no"
    sizes = ", ".join(f"{name} {bundle.artifact_bytes(name) / 1e6:.2f} MB" for name in bundle.formats)
    lines = {
        "bundle": f"{manifest.name} {manifest.version}", "digest": bundle.digest, "signed": signed,
        "formats": sizes, "base model": manifest.base_model, "licence": manifest.licence,
        "job": f"{manifest.job.name}, seed {manifest.job.seed}, commit {manifest.job.git_commit}",
        "data": f"{manifest.data.name}, {manifest.data.licence}, {manifest.data.digest}",
        "golden": f"{len(manifest.golden)} prompts", "files": str(len(manifest.files)),
    }  # fmt: skip
    for key, value in lines.items():
        print(printable(f"{key:<11} {value}"))
    for result in manifest.evaluation:
        bounds = [bound for bound in (result.ci_low, result.ci_high) if bound is not None]
        interval = f" [{bounds[0]:.4g}, {bounds[1]:.4g}]" if len(bounds) == 2 else ""
        print(printable(f"{'evaluation':<11} {result.metric} {result.value:.4g}{interval} n={result.n}"))
    for gate in manifest.gates:
        verdict = "passed" if gate.passed else "FAILED"
        print(printable(f"{'gate':<11} {gate.name} {verdict} {gate.detail}".rstrip()))


if __name__ == "__main__":
    run(app)
