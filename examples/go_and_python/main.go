// The Go service of this example: it asks Python for invoices, and sends the text messages that Python asks for.
//
// go mod init shop && go get github.com/ruko1202/goque github.com/lib/pq && go run .
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"time"

	_ "github.com/lib/pq"
	"github.com/ruko1202/goque"
	"github.com/ruko1202/goque/pkg/goquestorage"
)

// Order is the payload of make_invoice, which app.py runs.
type Order struct {
	Number int    `json:"number"`
	Phone  string `json:"phone"`
	Cents  int    `json:"cents"`
}

// TextMessage is the payload of send_sms, which app.py enqueues.
type TextMessage struct {
	To   string `json:"to"`
	Text string `json:"text"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	// The Go library works in the schema public, where `goque migrate` puts our columns, too.
	db, err := goquestorage.NewDBConn(ctx, &goquestorage.Config{
		DSN:    os.Getenv("DATABASE_URL"), // postgres://user:password@host:5432/shop?sslmode=disable
		Driver: goquestorage.PgDriver,
	})
	if err != nil {
		log.Fatal(err)
	}
	storage, err := goque.NewStorage(db)
	if err != nil {
		log.Fatal(err)
	}

	payload, err := json.Marshal(Order{Number: 7, Phone: "+420 123", Cents: 1250})
	if err != nil {
		log.Fatal(err)
	}
	task := goque.NewTaskWithExternalID("make_invoice", string(payload), "order-7")
	if err := goque.NewTaskQueueManager(storage).AddTaskToQueue(ctx, task); err != nil {
		log.Fatal(err)
	}

	// Only the types that are this service's: each type is run by one of the two libraries.
	service := goque.NewGoque(storage)
	service.RegisterProcessor(
		"send_sms",
		goque.TaskProcessorFunc(sendTextMessage),
		goque.WithWorkersCount(4),
		goque.WithTaskProcessingTimeout(30*time.Second),
	)
	service.Run(ctx)
	<-ctx.Done()
	service.Stop()
}

func sendTextMessage(_ context.Context, task *goque.Task) error {
	var message TextMessage
	if err := json.Unmarshal([]byte(task.Payload), &message); err != nil {
		return err
	}
	log.Printf("to %s: %s", message.To, message.Text)
	return nil
}
