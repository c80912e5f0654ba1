"""Generate docs/cli.md from the parser: `python -m tests.reference` writes the page.

test_docs.py fails if docs/cli.md is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from cyclopts import App
from cyclopts.argument import Argument

from rollout.app import rehearse
from rollout.app.plan import InventoryReading
from rollout.cli import main, options
from rollout.cli.views import forecast, preview
from tests import tree
from tests.app import factory

PAGE = tree.ROOT / "docs" / "cli.md"
HEAD = """\
# Command line

This page is generated from the program's parser by `make docs`; it has the same texts as
`rollout COMMAND --help` and as the manual page `rollout.1`, which packages install. Commands print
results to stdout and messages to stderr.
[errors.md](errors.md) lists exit codes and error codes. An option takes precedence over its
environment variable, and a variable over the [settings files](#settings-files). Other variables
that begin with `ROLLOUT_` are ignored. If a name is close to that of a setting, a warning suggests
the setting (R0118); `apply`, `resume`, `serve`, `keys ensure` and `keys retire` refuse a variable
that was probably meant to choose the service (R0014).

RUN is the id of a run or a unique prefix of it. The default is the newest run. If a command needs a
confirmation and the input is not interactive, it ends with exit 7 and names the option to add.

Ctrl-C and SIGTERM end every command within two seconds, with exit 130 or 143, except
`rollout emulator`, which they end with exit 0. A run in progress drains first: it starts nothing
new and waits for its open calls.

A command never waits for the reader of stderr. It queues up to 1 MiB of lines. If the reader is
slower, the oldest lines are dropped and replaced by their count (`… 1,234 lines dropped`; with
`--log-format json` the event `log.dropped`). A result on stdout waits for its reader, but `apply`
and `resume` end after 60 seconds without progress (R0806). By then the run has ended, and its locks
are released.
"""
SETTINGS = """\
## Settings files

A value that no option and no variable gives comes from the first of these files that has it:

1. `rollout.toml` in the working directory; if it does not exist, `[tool.rollout]` of
   `pyproject.toml` there
2. the user's file, `~/.config/rollout/config.toml` on Linux (`rollout config path` prints it)

```toml
runs-dir = "/var/lib/rollout/runs"
profile = "ops"
log-file = "rollout.log"

[plan]             # for one command
max-age = "12h"

[keys.list]
output = "json"
```

The settings are the common options and the cloud options without `--verbose` and
`--allow-clock-skew`; the table of a command can also have `output`, `query` and `max-age`.
Everything else is given on the command line or in the spec, so that no file confirms, narrows or
loosens a run unseen. Unknown names are refused with their position (R0020), and so are secrets
(R0112). A host of a private cloud cannot be named in a file. `rollout config show --origin` lists
every value with the option, variable or file that gave it.

## Languages

Help and messages are in English or Chinese. The language is the first of these that is given:

1. `--lang en|zh`, `ROLLOUT_LANG`, or `lang` in a settings file
2. `language` of the aliyun CLI's profile that the command uses
3. the locale: `LC_ALL`, else `LC_MESSAGES`, else `LANG`

Texts are in English if the encoding of the terminal lacks Chinese characters, and with
`--log-format json`.

{TRANSLATED}

Always in English: documents (`-o json|jsonl|csv|ids`), log lines, the journal, the audit log, plan
files, codes and names of all kinds. To translate a new message, run `make messages` and complete
`rollout/locale/zh_CN/LC_MESSAGES/rollout.po`; [glossary.md](glossary.md) lists the Chinese terms.

## Output for programs

Every command that lists or shows takes `-o json|jsonl|csv|ids` and `--query`, a
[JMESPath](https://jmespath.org) expression on the JSON document. JSON has snake_case keys, times in
RFC 3339 UTC and a `format_version`; a later 1.x version only adds fields. CSV has one column per
field; nested values are JSON, and a text that a spreadsheet would run as a formula begins with `'`.
`rollout schema plan|event|report|status` prints JSON Schemas.

```console
rollout history --query "runs[?state=='halted'].run" -o ids
rollout show fleet.plan.json --exclusions -o csv
rollout status --query classes.done
```
"""
TRANSLATED = """\
Translated are help pages, errors, questions, messages, tables and the page of a rehearsal, except
lines that programs read too: of `audit show`, `events` and `schedule list`. Quoted unchanged: texts
of libraries, of the operating system and of the service; texts that plans and journals store, such
as the warnings of a plan and the reason of a halt, after the translated title of their code; and
why one instance waits."""
"""Which texts have translations."""
CREDENTIALS = """\
## Credentials

`rollout` uses exactly one source of credentials: the first of this list that is named. If that
source fails, the command ends with exit 4 and the cause. It never continues with another identity.
The preview and the journal name the source.

1. `--profile NAME` or `ROLLOUT_PROFILE`: a profile of the aliyun CLI (`~/.aliyun/config.json`).
2. `ALIBABACLOUD_PROFILE`, `ALIBABA_CLOUD_PROFILE` or `ALICLOUD_PROFILE`: such a profile, or a
   section of `credentials.ini`.
3. `ALIBABA_CLOUD_ACCESS_KEY_ID` and `ALIBABA_CLOUD_ACCESS_KEY_SECRET`, with
   `ALIBABA_CLOUD_SECURITY_TOKEN` for temporary keys; else the same with `ALIBABACLOUD_` or
   `ALICLOUD_`, or `ALICLOUD_ACCESS_KEY` and `ALICLOUD_SECRET_KEY`. Sets are never mixed. With
   `ALIBABA_CLOUD_ROLE_ARN` or `ALICLOUD_ASSUME_ROLE_ARN`, and no OIDC variable, the keys assume
   that role.
4. `ALIBABA_CLOUD_ROLE_ARN`, `ALIBABA_CLOUD_OIDC_PROVIDER_ARN` and `ALIBABA_CLOUD_OIDC_TOKEN_FILE`:
   the role of a Kubernetes service account.
5. `ALIBABA_CLOUD_CREDENTIALS_URI`: a URI that returns temporary keys.
6. `ALIBABA_CLOUD_CREDENTIALS_FILE`: section `default` of an SDK credentials file.
7. The `current` profile of `~/.aliyun/config.json`, or its profile `default` where `current` is
   empty. `ALIBABA_CLOUD_IGNORE_PROFILE=true` skips this step.
8. Section `default` of `~/.alibabacloud/credentials.ini`.
9. The role of the ECS instance, unless `ALIBABA_CLOUD_ECS_METADATA_DISABLED=true`;
   `ALIBABA_CLOUD_ECS_METADATA` or `ALICLOUD_ECS_ROLE_NAME` names the role.

Older tools use other names for the same settings. The variables of steps 4 and 5 are also read with
`ALIBABACLOUD_` or `ALICLOUD_` in place of `ALIBABA_CLOUD_`; the name of the source then includes
the variable. `ALICLOUDSHARED_CREDENTIALS_FILE` replaces the path `~/.aliyun/config.json`.

The session of a role is called `rollout` and lasts an hour, unless
`ALIBABA_CLOUD_ROLE_SESSION_NAME` and `ALIBABA_CLOUD_ROLE_SESSION_EXPIRATION` (seconds, at least
900) say otherwise. `ALICLOUD_ASSUME_ROLE_SESSION_NAME` and
`ALICLOUD_ASSUME_ROLE_SESSION_EXPIRATION` do the same for `ALICLOUD_ASSUME_ROLE_ARN`. A role's keys
come from the STS endpoint that `rollout` itself calls, unless `ALIBABA_CLOUD_STS_REGION` and
`ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED`, or `sts_region` and `enable_vpc` of the profile, name another.
A private cloud's STS endpoint is not used for this. Behind a proxy these calls accept public
certificate authorities only: `SSL_CERT_FILE` has no effect on them.

Temporary keys are renewed at 80 % of their life. If the renewal fails, they remain in use until a
minute before they expire. After that, while the credential service cannot be reached, returns HTTP
5xx or throttles, calls are not sent and are tried again. A refusal of the credential service halts
the run.

The official SDKs and the aliyun CLI order some of these differently. An incomplete group of
variables (a key id without its secret, one of the three OIDC variables) and variables that
contradict each other are errors.

`--emulator` uses the emulator's own key; only a profile that is named in addition replaces it. A
loopback address without `--emulator` and without TLS receives no keys but the emulator's (R0408).

### Modes of a profile

The official library `alibabacloud-credentials` gets the keys of all these modes but External. A
profile that lacks a field of its mode is an error (R0407).

| mode | keys |
| --- | --- |
| AK, StsToken | of the profile |
| RamRoleArn | of the role, assumed with the keys of the profile |
| ChainableRamRoleArn | of the role, assumed with the keys of `source_profile` |
| RamRoleArnWithRoleName | of the role, assumed with the role of the ECS instance |
| EcsRamRole | of the role of the ECS instance |
| OIDC | of the role, for the token in `oidc_token_file` |
| CredentialsURI | that `credentials_uri` returns |
| External | that `process_command` prints |
| CloudSSO, OAuth | of the login by `aliyun configure` |
| RsaKeyPair | of a session that the private key opens; deprecated by the CLI |
| BearerToken, Anonymous | not supported (R0406): ECS accepts signed calls only |

- The source of a role may be a role as well, also of another account: ChainableRamRoleArn accepts
  any supported mode, and RamRoleArn with `sts_token` the keys of another role. Profiles that refer
  to each other are an error (R0407).
- `process_command` runs without a terminal and without input, for at most 60 s, and ends with the
  program. Renewed tokens of OAuth are written back to the file, as the CLI does.

The file has no proxy; proxies come from the environment (see Endpoints). The fields `endpoint`,
`endpoint_type` and `region_id` of a profile are not read: name an endpoint with `--endpoint`, and
the regions in the spec.

## The safety policy of the aliyun CLI

`rollout` obeys the rules of `aliyun configure safety-policy`, in `~/.aliyun/safety-policy.json`:

```json
{
  "enabled": true,
  "rules": [
    { "pattern": "*:Delete*", "action": "deny" },
    { "pattern": "ecs:Reboot*", "action": "confirm" }
  ]
}
```

A pattern is `PRODUCT:ACTION`, and `*` in it stands for any text. Case does not count, and the first
matching rule decides. `ALIBABA_CLOUD_SAFETY_POLICY_ENABLED` and `ALIBABA_CLOUD_SAFETY_POLICY_RULES`
(`*:Delete*=deny,ecs:Reboot*=confirm`) replace the two parts of the file, as in the CLI.

- `deny`: the command ends with exit 4 (R0417) before it changes anything. `apply PLAN` and `resume`
  check all actions of the plan before their first call: ImportKeyPair, AttachKeyPair,
  RebootInstance, StartInstance and the batch actions, as far as the plan needs them. `apply SPEC`
  checks them after planning, and `keys ensure` and `keys retire` before the import or deletion.
- `confirm` (`forbid` means the same): the command needs the confirmation that `apply SPEC` and
  `keys retire` always need. `apply PLAN` and `keys ensure` then need it too: the name of the spec
  or of the key pair, typed or with `--confirm`; without a terminal and without `--confirm` they end
  with exit 7 (R0701). A `resume` continues what was confirmed. A schedule cannot confirm: its tick
  ends with R0542, which names the command for an operator.
- Rules for read-only actions (`DescribeInstances`, `GetCallerIdentity`) count only if they deny.
- A rule about TagResources or UntagResources ends no command. The run continues without marks
  (R0621).
- A file or variable that cannot be understood allows nothing (R0418).

The rules apply to the emulator as well, except in `rollout demo`.

## Endpoints

Without options, ECS is called at the public host of each region and STS at `sts.aliyuncs.com`.
`--endpoint` accepts the hosts of ECS: `ecs.aliyuncs.com`, `ecs.REGION.aliyuncs.com`,
`ecs-REGION.aliyuncs.com` and, inside a VPC, `ecs-vpc.REGION.aliyuncs.com`. STS is then called at
the endpoint of the same kind (`sts-vpc.REGION.aliyuncs.com` or `sts.aliyuncs.com`), or at
`--sts-endpoint`. Other hosts under aliyuncs.com are refused, because tenants own many of them.
A host of a private cloud is accepted with https and only from the command line, not from
`ROLLOUT_ENDPOINT`; STS is called at the same host unless `--sts-endpoint` names another.

`HTTPS_PROXY` (or `https_proxy`, `ALL_PROXY`) names an HTTP proxy, with `USER:PASSWORD@` where it
wants a login. ECS, STS and the credential services are called through it by CONNECT; hosts, domains
and networks in `NO_PROXY`, loopback addresses and the metadata service of an instance are not.
Hosts and proxies are reached by IPv4 and IPv6, whichever of their addresses answers first.
"""


def page() -> str:
    """Return the whole page."""
    blocks = [HEAD, *(_command(words, app) for words, app in commands())]
    blocks.append(_shared("Common options", "Taken by every command.", options.COMMON.name))
    blocks.append(
        _shared(
            "Cloud options", "Taken by every command that calls the service.", options.CLOUD.name
        )
    )
    return "\n".join(
        [*blocks, SETTINGS.replace("{TRANSLATED}", TRANSLATED), CREDENTIALS, _samples()]
    )


def _samples() -> str:
    """Return the preview of a small plan, created by the program."""
    shortened = "sha256:9f2c…e41b"
    text = preview.text(factory.plan(), shortened, 100, reading=InventoryReading(2, 14_000))
    intro = "What `rollout plan` prints of a fleet of 100; the text is the same without a terminal."
    preview_ = f"## A preview\n\n{intro}\n\n```text\n{text}\n```\n"
    intro = "What `rollout rehearse` prints of the same plan with `--seeds 5 --boot-time 20s`."
    return f"{preview_}\n## A forecast\n\n{intro}\n\n```text\n{_forecast()}\n```\n"


def _forecast() -> str:
    plan = factory.plan()
    given = rehearse.RehearsalOptions(seeds=5, boot_ms=20_000, quota=None, faults=None)
    rehearsed = msgspec.structs.replace(rehearse.rehearse(plan, given), at=factory.NOW)
    return forecast.text(plan, f"sha256:9f2c41d0{52 * '0'}e41b", rehearsed, 100)


def commands() -> Iterator[tuple[str, App]]:
    """Yield every command as it is typed, with its parser."""
    app = main.make_app()
    for command in main.COMMANDS:
        parent, _, name = command.rpartition(" ")
        yield command, app[parent][name] if parent else app[name]


def arguments(app: App) -> list[Argument]:
    """Return a command's arguments, without the groups that several commands share."""
    shown = app.assemble_argument_collection(parse_docstring=True)
    return [one for one in shown if not one.children]


def spellings() -> dict[str, list[str]]:
    """Return all names of all options of all commands."""
    return {
        words: [name for one in arguments(app) for name in one.names if name.startswith("-")]
        for words, app in commands()
    }


def usage(words: str, app: App) -> str:
    """Return the usage line of a command."""
    positions = [one for one in arguments(app) if not one.names[0].startswith("-")]
    return " ".join([f"rollout {words}", *(_position(one) for one in positions), "[OPTIONS]"])


def _command(words: str, app: App) -> str:
    own = [one for one in arguments(app) if group_of(one) not in SHARED]
    lines = [f"## rollout {words}", "", f"`{usage(words, app)}`", ""]
    lines += [str(app.help).partition("\n")[0], ""]
    return "\n".join([*lines, *_table(own)])


def _shared(title: str, text: str, group: str) -> str:
    app = main.make_app()["plan"]
    return "\n".join(
        [f"## {title}", "", text, "", *_table([o for o in arguments(app) if group_of(o) == group])]
    )


def _table(shown: list[Argument]) -> list[str]:
    if not shown:
        return []
    rows = ["| name | meaning |", "| --- | --- |"]
    rows += [f"| {_names(one)} | {_cell(meaning(one))} |" for one in shown]
    return [*rows, ""]


def _names(one: Argument) -> str:
    return ", ".join(f"`{_cell(name)}`" for name in spelled(one))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def spelled(one: Argument) -> list[str]:
    """Return the names of an argument, each with its value."""
    value = "" if not one.names[0].startswith("-") or _is_switch(one) else f" {_value(one)}"
    return [f"{name}{value}" for name in one.names]


def _value(one: Argument) -> str:
    choices = one.get_choices()
    if choices:
        return "|".join(choices)
    if "Path" in str(one.hint):
        return "FOLDER" if one.names[0].endswith("dir") else "FILE"
    return _VALUES.get(one.names[0], one.names[0].lstrip("-").upper())


def meaning(one: Argument) -> str:
    """Return the help of an argument with its default and its variables, in one line."""
    parts = [" ".join((one.parameter.help or "").split())]
    default = one.field_info.default
    if not _is_switch(one) and isinstance(default, str | int) and one.names[0].startswith("-"):
        parts += [f"Default: `{default}`."] if default != "" else []
    elif str(default) == "runs":
        parts.append("Default: `runs`.")
    parts += [f"Environment: `{name}`." for name in one.parameter.env_var or ()]
    return " ".join(parts)


def _is_switch(one: Argument) -> bool:
    return one.hint is bool or bool(one.parameter.count)


def _position(one: Argument) -> str:
    if one.names[0] == "FILES":
        return "[FILE…]"
    return one.names[0] if one.required else f"[{one.names[0]}]"


def group_of(one: Argument) -> str:
    """Return the name of the group of an argument; empty without one."""
    return one.parameter.group[0].name if one.parameter.group else ""  # type: ignore[index]


_VALUES = {
    "--max-age": "DURATION",
    "--api-timeout": "DURATION",
    "--boot-time": "DURATION",
    "--confirm": "NAME",
    "--restart-again": "COUNT",
    "--until-wave": "NAME",
    "--override": "FIELD=VALUE",
    "--listen": "ADDRESS:PORT",
    "--size": "COUNT",
    "--seed": "NUMBER",
    "--seeds": "COUNT",
    "--quota": "CALLS",
    "--instance": "ID",
    "--profile": "NAME",
    "--endpoint": "URL",
    "--sts-endpoint": "URL",
}
SHARED = (options.COMMON.name, options.CLOUD.name)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
