"""Solves scheduling instances with CP-SAT: JSON on stdin, [best, bound] of each on stdout."""

import json
import sys

from ortools.sat.python import cp_model

SECONDS = 5


def judge(instance):
    duration = instance["duration"]
    horizon = sum(duration)
    model = cp_model.CpModel()
    start = [model.new_int_var(0, horizon, f"s{i}") for i in range(len(duration))]
    spans = [model.new_fixed_size_interval_var(start[i], d, f"i{i}") for i, d in enumerate(duration)]
    for later, before in enumerate(instance["before"]):
        for earlier in before:
            model.add(start[later] >= start[earlier] + duration[earlier])
    for resource, capacity in enumerate(instance["capacity"]):
        users = [
            (spans[i], units)
            for i, demands in enumerate(instance["demand"])
            for where, units in demands
            if where == resource
        ]
        if users:
            model.add_cumulative([span for span, _ in users], [units for _, units in users], capacity)
    end = model.new_int_var(0, horizon, "end")
    for i, d in enumerate(duration):
        model.add(end >= start[i] + d)
    model.minimize(end)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = SECONDS
    solver.parameters.num_workers = 2
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    return [round(solver.objective_value), round(solver.best_objective_bound)]


print(json.dumps([judge(instance) for instance in json.load(sys.stdin)]))
