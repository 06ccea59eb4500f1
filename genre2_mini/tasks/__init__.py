"""Data sets as one `Task` type: named tables, your own table, TALENT folders."""

from genre2_mini.tasks.schema import TableSchema
from genre2_mini.tasks.table import Split, Task, split_rows, task_from_frame
from genre2_mini.tasks.tabular import describe_task, list_tasks, load_frame, load_task
from genre2_mini.tasks.talent import list_talent, load_talent

__all__ = [
    "Split",
    "TableSchema",
    "Task",
    "describe_task",
    "list_talent",
    "list_tasks",
    "load_frame",
    "load_talent",
    "load_task",
    "split_rows",
    "task_from_frame",
]
