// Centrifugo's engine behind a minimal server: JSON over WebSocket, the memory engine, published to by HTTP in the shape of
// Centrifugo's own batch call. The rule: as its makers recommend for many connections that mostly wait (write buffers from a
// pool, commands off the read loop, messages gathered for a millisecond by a timer instead of a goroutine, which was also
// faster here than sending each at once), without history, presence or compression, each client asked every 30 seconds
// whether it is there.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/centrifuge"
)

// What is published in one call.
type batch struct {
	Commands []struct {
		Publish struct {
			Channel string          `json:"channel"`
			Data    json.RawMessage `json:"data"`
		} `json:"publish"`
	} `json:"commands"`
}

func main() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:    &centrifuge.Credentials{},
			WriteDelay:     time.Millisecond,
			WriteWithTimer: true,
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}

	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		UseWriteBufferPool:         true,
		ProcessCommandsOffReadLoop: true,
		PingPongConfig:             centrifuge.PingPongConfig{PingInterval: 30 * time.Second},
	}))
	http.HandleFunc("POST /api/batch", func(response http.ResponseWriter, request *http.Request) {
		var call batch
		if err := json.NewDecoder(request.Body).Decode(&call); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		for _, command := range call.Commands {
			if _, err := node.Publish(command.Publish.Channel, command.Publish.Data); err != nil {
				http.Error(response, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		response.Header().Set("Content-Type", "application/json")
		response.Write([]byte(`{"replies":[]}`))
	})

	// The backlog is the kernel's longest.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "listening ws=%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
