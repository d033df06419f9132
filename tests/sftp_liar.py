"""An SFTP subsystem between a client and the true one: it drops a block, or hangs up.

Started by sshd, with what it is to do as its argument: ``zero`` puts zeros in place of
every second block that is written, at full size; ``cut:N`` ends after N bytes written.
"""

import os
import struct
import subprocess
import sys
import threading

SERVER = "/usr/lib/openssh/sftp-server"
WRITE = 6


def main(lie: str) -> None:
    server = subprocess.Popen([SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    threading.Thread(target=back, args=(server,), daemon=True).start()
    left = int(lie.partition(":")[2] or sys.maxsize)
    while head := exactly(4):
        packet = bytearray(exactly(struct.unpack(">I", head)[0]))
        if packet and packet[0] == WRITE:
            handle = struct.unpack(">I", packet[5:9])[0]
            at = 9 + handle
            offset, size = struct.unpack(">QI", packet[at : at + 12])
            left -= size
            if left < 0:
                server.kill()
                os._exit(1)
            if lie == "zero" and offset:
                packet[at + 12 :] = bytes(size)
        server.stdin.write(head + packet)
        server.stdin.flush()
    server.stdin.close()
    server.wait()


def exactly(size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := os.read(0, size - len(data))):
        data += piece
    return data


def back(server) -> None:
    while piece := os.read(server.stdout.fileno(), 1 << 16):
        os.write(1, piece)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
