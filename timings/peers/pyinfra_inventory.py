"""The hosts of desired.json for pyinfra; the folder is in $LOADPROOF_PEER."""

import json
import os

with open(os.environ["LOADPROOF_PEER"] + "/desired.json") as file:
    wanted = json.load(file)["hosts"]

hosts = [
    (
        host["address"],
        {
            "ssh_port": host["port"],
            "ssh_user": host["user"],
            "ssh_key": host["key"],
            "ssh_known_hosts_file": host["known_hosts"],
            "wanted": host,
        },
    )
    for host in wanted
]
