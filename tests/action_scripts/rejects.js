// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: rejected
// message: awaited in vain
async function login(email, password, callback) {
  await new Promise((resolve) => setTimeout(resolve, 1));
  throw new Error('awaited in vain');
}
