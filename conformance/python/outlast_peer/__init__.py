"""A second implementation of the outlast protocol, written from docs/spec.md alone.

It exists to show that the specification says what the code does. It uses the standard library
only. Numbers such as FRM-3 in the comments are those of the sentences of the specification.

wire      frames as bytes, and back
codes     the close codes and what a client makes of them
outbound  the sending direction of a session: what is kept until it is acknowledged
inbound   the receiving direction: positions, credit, messages in fragments
link      what belongs to one connection: timers, budget, what is owed
calls     what the application of a session may do
session   a session over any number of links, and the events it tells
claims    the proof of a claim
registry  the sessions of a server, and what is left of those that are over
server    the sockets of a server
client    a client that dials with growing delays
control   a subject of the conformance suite
"""
