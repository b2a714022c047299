.PHONY: check coverage docs format test

check:
	ruff format --check .
	ruff check .
	mypy
	pytest -q

coverage:
	pytest -q --cov --cov-report=term-missing:skip-covered

docs:
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

format:
	ruff format .
	ruff check --fix .

test:
	pytest -q
