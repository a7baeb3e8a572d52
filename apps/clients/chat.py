#!/usr/bin/env python3
"""A client of the chat without this repository: chat.py NAME PASSWORD [HOST:PORT]

What is typed is said, what is said is shown. It makes an account if there is none.
"""
import json
import socket
import sys
import threading

name, password = sys.argv[1:3]
host, _, port = (sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1:7421").rpartition(":")
server = socket.create_connection((host, int(port)))
one_at_a_time = threading.Lock()


def say(message_type, **fields):
    line = json.dumps({"message_type": message_type, **fields}, ensure_ascii=False)
    with one_at_a_time:
        server.sendall(line.encode() + b"\n")


def listen():
    for line in server.makefile("r", encoding="utf-8", newline="\n"):
        message = json.loads(line)
        if message["message_type"] in ("chat_message", "chat_history"):
            print(f"{message['sender_username']}: {message['content']}", flush=True)
        elif message.get("error_message"):
            print(f"({message['error_message']})", flush=True)


def beat(over):
    # Who says nothing for a minute is taken to be gone.
    while not over.wait(30):
        say("heartbeat")


say("register_request", username=name, password=password)
say("login_request", username=name, password=password)
listener = threading.Thread(target=listen)
listener.start()
over = threading.Event()
threading.Thread(target=beat, args=(over,)).start()
for line in sys.stdin:
    say("chat_message", content=line.rstrip("\n"))
over.set()
server.shutdown(socket.SHUT_WR)
listener.join()
