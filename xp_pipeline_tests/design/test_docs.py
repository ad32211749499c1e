"""The page on designs: its files validate as a project, its code prints what it says, its refusal is refused."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import jsonschema
import pytest
import yaml

from xp_pipeline.errors import AliasError
from xp_pipeline.lifecycle.promisable import promisable
from xp_pipeline.spec.folder import load
from xp_pipeline.spec.schema import json_schema
from xp_pipeline_tests.projects import REPOSITORY

PAGE = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def written(root: Path) -> Path:
    """The project of the page."""
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


def test_the_files_of_the_page_are_a_project_that_validates(tmp_path: Path) -> None:
    folder = load(written(tmp_path))
    assert folder.problems == ()
    assert len(folder.experiments) == sum(name.startswith("experiments/") for name in FILES) == 7
    for name in folder.experiments:
        assert promisable(folder, name).id == name
        content = json.loads(json.dumps(yaml.safe_load(FILES[f"experiments/{name}.yaml"]), default=str))
        jsonschema.validate(content, json_schema("experiment"), jsonschema.Draft202012Validator)


def test_the_code_of_the_page_prints_what_it_says() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == PAGE.count("```python") == 3
    names: dict[str, object] = {}
    for code, expected in blocks:
        said = io.StringIO()
        with redirect_stdout(said):
            exec(compile(code, "docs/design.md", "exec"), names)
        assert said.getvalue() == expected


def test_the_refusal_of_the_page_is_refused(tmp_path: Path) -> None:
    found = re.search(r"^```refused\n(\S+), effects: (.*)\n(.*)\n```", PAGE, re.MULTILINE)
    assert found
    path = written(tmp_path) / found[1]
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    spec["effects"] = found[2].strip("[]").split(", ")
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    with pytest.raises(AliasError, match=found[3]) as problem:
        promisable(load(tmp_path), Path(found[1]).stem)
    at = int(str(problem.value).split(":")[1])
    assert "- subject:picture" in path.read_text().splitlines()[at - 1]
