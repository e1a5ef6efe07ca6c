"""The main job (`make demo`) and the page that compares the roads.

python -m tradeoffs demo     data, training, bundle, three roads, load, report
python -m tradeoffs report   the pages again, from the last measurements
"""
