# Stands in for both programs called cpulimit; FLAVOUR says which one, and what is wrong with it. It really stops and
# continues its target, so that a supervisor that forgets to continue an app is caught.
import os
import signal
import sys
import time

flavour = os.environ["FLAVOUR"]
words = sys.argv[1:]
recorded = "opsengine" if flavour == "opsengine" else "limitcpu"
with open(os.path.join(os.environ["FAKES"], f"{recorded}.txt")) as text:
    help_text = text.read()
if "-h" in words:
    print(help_text)
    sys.exit(1)
if flavour == "opsengine" and {"-c", "-m"} & set(words):
    sys.exit(f"cpulimit: invalid option\n{help_text}")
if flavour == "broken":
    sys.exit("cpulimit: cannot work here")
pid, percent = int(words[words.index("-p") + 1]), int(words[words.index("-l") + 1])


def leave(*_):
    os.kill(pid, signal.SIGCONT)
    sys.exit(0)


signal.signal(signal.SIGTERM, leave)
print(f"Process {pid} detected", flush=True)
try:
    while True:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1000 if flavour == "sleepy" else 0.001 * (100 - percent))
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.001 * percent)
except ProcessLookupError:
    sys.exit(f"Process {pid} dead!" and 2)
