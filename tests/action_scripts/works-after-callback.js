// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
async function login(email, password, callback) {
  const client = { end: () => new Promise((resolve) => setTimeout(resolve, 20)) };
  try {
    return callback(null, { user_id: 1 });
  } finally {
    await client.end();
  }
}
