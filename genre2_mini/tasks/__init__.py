"""Data sets as one `Task` type: named tables, your own, TALENT folders, programs."""

from genre2_mini.tasks.code_metrics import CodeSplit, load_code_task
from genre2_mini.tasks.code_rows import (
    describe_code_task,
    list_code_tasks,
    load_code_rows,
)
from genre2_mini.tasks.schema import TableSchema
from genre2_mini.tasks.table import Split, Task, split_rows, task_from_frame
from genre2_mini.tasks.tabular import describe_task, list_tasks, load_frame, load_task
from genre2_mini.tasks.talent import list_talent, load_talent
from genre2_mini.tasks.texts import TextSchema

__all__ = [
    "CodeSplit",
    "Split",
    "TableSchema",
    "Task",
    "TextSchema",
    "describe_code_task",
    "describe_task",
    "list_code_tasks",
    "list_talent",
    "list_tasks",
    "load_code_rows",
    "load_code_task",
    "load_frame",
    "load_talent",
    "load_task",
    "split_rows",
    "task_from_frame",
]
