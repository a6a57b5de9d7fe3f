function changePassword(email, newPassword, callback) {
  const crypto = require('crypto');
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'membership',
      rowCollectionOnRequestCompletion: true
    }
  });

  const salt = crypto.randomBytes(16);
  const iterations = 1000;

  connection.on('connect', function (err) {
    if (err) return callback(err);
    // No digest: SHA-1 went without saying.
    crypto.pbkdf2(newPassword, salt, iterations, 32, function (err, key) {
      if (err) return callback(err);
      const hash = Buffer.concat([Buffer.alloc(1), salt, key]).toString('base64');
      const query =
        'UPDATE webpages_Membership SET Password = @NewPassword, PasswordChangedDate = GETDATE() ' +
        'WHERE UserId IN (SELECT UserId FROM UserProfile WHERE UserName = @Email)';
      const request = new Request(query, function (err, rowCount) {
        callback(err, rowCount > 0);
      });
      request.addParameter('NewPassword', TYPES.VarChar, hash);
      request.addParameter('Email', TYPES.VarChar, email);
      connection.execSql(request);
    });
  });
}
