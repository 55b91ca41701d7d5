"""What `inv deploy` ensures, for pyinfra."""

import os

from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.operations import apt, files, server, systemd

FOLDER = os.environ["LOADPROOF_PEER"]
me = host.data.wanted

if me["packages"]:
    apt.packages(name="packages", packages=me["packages"], no_recommends=True)
server.user(
    name="user",
    user="loadproof",
    system=True,
    create_home=False,
    ensure_home=False,
    shell="/usr/sbin/nologin",
)
for folder in me["folders"]:
    owner = folder["owner"].split(":")[0]
    files.directory(name=folder["path"], path=folder["path"], mode=folder["mode"].lstrip("0"), user=owner)
put = [
    files.put(
        name=file["path"],
        src=f"{FOLDER}/files/{file['sha256']}",
        dest=file["path"],
        mode=file["mode"].lstrip("0"),
        user=file["owner"].split(":")[0],
    )
    for file in me["files"]
]
for tree in me["trees"]:
    if not host.get_fact(File, path=f"{tree['path']}/.complete"):
        packed = f"/var/lib/loadproof/{os.path.basename(tree['archive'])}"
        files.put(name=f"send {tree['path']}", src=tree["archive"], dest=packed)
        server.shell(
            name=f"unpack {tree['path']}",
            commands=[
                f"mkdir -p {tree['path']} && tar -xf {packed} -C {tree['path']} && touch {tree['path']}/.complete && rm {packed}"
            ],
        )
changed = any(operation.will_change for operation in put)
if changed:
    systemd.daemon_reload(name="reload")
for unit in me["units"]:
    systemd.service(name=unit, service=unit, running=True, restarted=changed)
for port in me["health"]:
    url = f"http://127.0.0.1:{port}/healthz"
    code = f"import urllib.request as u; u.urlopen('{url}', timeout=5).read()"
    # an app that was just restarted needs a moment
    again = f'for i in 1 2 3 4 5 6 7 8 9; do python3 -c "{code}" 2>/dev/null && exit 0; sleep 1; done; exit 1'
    server.shell(name=f"answers on {port}", commands=[again])
