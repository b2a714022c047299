.PHONY: check coverage format test

check:
	ruff format --check .
	ruff check .
	mypy
	pytest -q

coverage:
	pytest -q --cov --cov-report=term-missing:skip-covered

format:
	ruff format .
	ruff check --fix .

test:
	pytest -q
