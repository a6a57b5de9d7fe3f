// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// retires: violation
// violations: rejected_after_callback
// value: {"user_id":1}
async function login(email, password, callback) {
  callback(null, { user_id: 1 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  throw new Error('much later');
}
