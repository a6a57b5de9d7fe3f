// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
async (email, password, callback) => {
  await null;
  callback(null, { user_id: 1 });
}
